// CoreDNS with only the plugins that a cluster's DNS needs: a quarter of the build time of the
// whole, which brings the client libraries of every cloud.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/log"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() {
	// The order is that in which a query passes through the plugins: as upstream's, but template
	// comes last, to answer what nobody else knows.
	dnsserver.Directives = []string{
		"reload", "health", "ready", "log", "errors", "loadbalance", "cache", "kubernetes",
		"forward", "template",
	}
	coremain.Run()
}
