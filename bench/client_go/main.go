// Lists, caches and indexes EtcdClusters the way an operator in Go would, and prints what it cost.
//
// The other half of bench/list_index.py, which builds and runs it: a dynamic shared informer with an
// index by controlling owner, one handler, no resync. Usage: client-go KUBECONFIG COUNT
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const deadline = 50 * time.Second

type result struct {
	Seconds      float64 `json:"seconds"`
	CPUSeconds   float64 `json:"cpu_seconds"`
	RSSMB        float64 `json:"rss_mb"`
	SettledRSSMB float64 `json:"settled_rss_mb"`
	AddedMB      float64 `json:"added_mb"`
	Objects      int     `json:"objects"`
}

func byOwner(obj any) ([]string, error) {
	object, err := asObject(obj)
	if err != nil {
		return nil, err
	}
	if owner := metav1.GetControllerOf(object); owner != nil {
		return []string{string(owner.UID)}, nil
	}
	return nil, nil
}

func asObject(obj any) (metav1.Object, error) {
	object, ok := obj.(metav1.Object)
	if !ok {
		return nil, fmt.Errorf("%T is no object", obj)
	}
	return object, nil
}

func rssMB() float64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(data))[1])
	return float64(pages*os.Getpagesize()) / 1e6
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func measure(kubeconfig string, count int) (result, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return result{}, err
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return result{}, err
	}
	kind := schema.GroupVersionResource{
		Group: "etcd.etcd.io", Version: "v1alpha1", Resource: "etcdclusters",
	}
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	informer := factory.ForResource(kind).Informer()
	if err := informer.AddIndexers(cache.Indexers{"owner": byOwner}); err != nil {
		return result{}, err
	}
	handed := 0
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { handed++ },
	})
	if err != nil {
		return result{}, err
	}
	// A first request, so that neither side's figure holds TLS and the discovery of the server.
	_, err = client.Resource(kind).List(context.Background(), metav1.ListOptions{Limit: 1})
	if err != nil {
		return result{}, err
	}
	runtime.GC()
	before := rssMB()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	started, cpu := time.Now(), cpuSeconds()
	factory.Start(ctx.Done())
	for !registration.HasSynced() {
		if ctx.Err() != nil {
			return result{}, fmt.Errorf("not synced after %s", deadline)
		}
		time.Sleep(time.Millisecond)
	}
	found := result{Seconds: time.Since(started).Seconds(), CPUSeconds: cpuSeconds() - cpu}
	found.Objects, found.RSSMB = handed, rssMB()
	found.AddedMB = found.RSSMB - before
	if stored := len(informer.GetStore().ListKeys()); stored != count || handed != count {
		return result{}, fmt.Errorf("%d stored and %d handed out of %d", stored, handed, count)
	}
	// What a process keeps for good: after a collection, with freed pages given back.
	runtime.GC()
	time.Sleep(time.Second)
	found.SettledRSSMB = rssMB()
	return found, nil
}

func main() {
	count, err := strconv.Atoi(os.Args[2])
	if err == nil {
		var found result
		if found, err = measure(os.Args[1], count); err == nil {
			err = json.NewEncoder(os.Stdout).Encode(found)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "client-go:", err)
		os.Exit(1)
	}
}
