// libcni_driver performs one operation on a network configuration list with the real libcni,
// as cnitool, containerd and CRI-O do it.
//
//	libcni_driver -conf LIST -netns PATH -id CONTAINER [-ifname eth0] [-args K=V;K=V]
//	              [-capabilities JSON] [-cache DIR] [-path DIR:DIR] add|check|del|validate
//
// add prints the result as JSON. A failure goes to stderr, with exit status 1.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/libcni"
)

type options struct {
	conf, netns, id, ifname, args, capabilities, cache, path string
}

func parseArgs(text string) ([][2]string, error) {
	var pairs [][2]string
	for _, piece := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' }) {
		key, value, found := strings.Cut(piece, "=")
		if !found {
			return nil, fmt.Errorf("-args: %q has no '='", piece)
		}
		pairs = append(pairs, [2]string{key, value})
	}
	return pairs, nil
}

func (o *options) runtimeConf() (*libcni.RuntimeConf, error) {
	rt := &libcni.RuntimeConf{ContainerID: o.id, NetNS: o.netns, IfName: o.ifname}
	var err error
	if rt.Args, err = parseArgs(o.args); err != nil {
		return nil, err
	}
	if o.capabilities != "" {
		if err = json.Unmarshal([]byte(o.capabilities), &rt.CapabilityArgs); err != nil {
			return nil, fmt.Errorf("-capabilities: %w", err)
		}
	}
	return rt, nil
}

func run(o *options, operation string) error {
	list, err := libcni.ConfListFromFile(o.conf)
	if err != nil {
		return err
	}
	rt, err := o.runtimeConf()
	if err != nil {
		return err
	}
	cni := libcni.NewCNIConfigWithCacheDir(filepath.SplitList(o.path), o.cache, nil)
	ctx := context.Background()
	switch operation {
	case "add":
		result, err := cni.AddNetworkList(ctx, list, rt)
		if err != nil {
			return err
		}
		return result.PrintTo(os.Stdout)
	case "check":
		return cni.CheckNetworkList(ctx, list, rt)
	case "del":
		return cni.DelNetworkList(ctx, list, rt)
	case "validate":
		_, err := cni.ValidateNetworkList(ctx, list)
		return err
	}
	return fmt.Errorf("there is no operation %q", operation)
}

func main() {
	var o options
	flag.StringVar(&o.conf, "conf", "", "file of the network configuration list")
	flag.StringVar(&o.netns, "netns", "", "path of the container's network namespace")
	flag.StringVar(&o.id, "id", "", "container ID")
	flag.StringVar(&o.ifname, "ifname", "eth0", "name of the interface")
	flag.StringVar(&o.args, "args", "", "CNI_ARGS")
	flag.StringVar(&o.capabilities, "capabilities", "", "capability arguments, a JSON object")
	flag.StringVar(&o.cache, "cache", "/var/lib/cni", "directory of the result cache")
	flag.StringVar(&o.path, "path", "/opt/cni/bin", "directories of the plugins")
	flag.Parse()
	if err := run(&o, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
