// Reads from etcd's sources which options a release has: each command-line flag, the key of the
// configuration file that sets the same field, and the type that the file wants there.
//
// Usage: go run . v3.5.21 v3.6.16 ...      writes one JSON array to standard output
//
// The sources are parsed and not compiled: half of the file's keys are in structs that the package
// keeps to itself, and fifty releases are read in seconds. Sources come from the Go module cache,
// downloaded where missing. Called by hack/generate_options.py.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
)

type release struct {
	Version string            `json:"version"`
	Flags   []option          `json:"flags"`
	Gates   map[string]bool   `json:"gates"`  // feature gate → on by default
	GateOf  map[string]string `json:"gateOf"` // experimental flag → the gate that replaced it
}

type option struct {
	Flag string   `json:"flag"`
	Path []string `json:"path"` // keys from the top of the file; null: the file can't set it
	Type string   `json:"type"` // bool, int, uint, duration, string, strings; empty without a path
}

func main() {
	releases := []release{}
	for _, version := range os.Args[1:] {
		read, err := readRelease(version)
		if err != nil {
			fmt.Fprintf(os.Stderr, "etcd-options: %s: %v\n", version, err)
			os.Exit(1)
		}
		releases = append(releases, read)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(releases); err != nil {
		fmt.Fprintln(os.Stderr, "etcd-options:", err)
		os.Exit(1)
	}
}

func readRelease(version string) (release, error) {
	server, err := moduleDir("go.etcd.io/etcd/server/v3@" + version)
	if err != nil {
		return release{}, err
	}
	clientPkg, err := moduleDir("go.etcd.io/etcd/client/pkg/v3@" + version)
	if err != nil {
		return release{}, err
	}
	source, err := parseDirs(server+"/embed", server+"/etcdmain", server+"/features", clientPkg+"/transport")
	if err != nil {
		return release{}, err
	}
	gates, gateOf := source.features()
	flags, err := source.options()
	return release{Version: version[1:], Flags: flags, Gates: gates, GateOf: gateOf}, err
}

func moduleDir(module string) (string, error) {
	command := exec.Command("go", "mod", "download", "-json", module)
	command.Stderr = os.Stderr
	out, err := command.Output()
	var found struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &found); jsonErr != nil {
		return "", fmt.Errorf("go mod download %s: %w", module, err)
	}
	if found.Error != "" {
		return "", fmt.Errorf("%s", found.Error)
	}
	return found.Dir, err
}
