// Command vcsim serves govmomi's vCenter simulator on loopback, over TLS, until it is told to stop.
//
// It exists so that our own vSphere client meets a server we did not write. Debian packages the library but no
// binary; .ci/build-vcsim builds this file. It prints one line when it is ready: READY <url>.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/vmware/govmomi/simulator"
)

func main() {
	model := simulator.VPX()
	for _, word := range os.Args[1:] {
		if word == "-esx" { // the counts of the other flags have other defaults then
			model = simulator.ESX()
		}
	}
	counts := []struct {
		value *int
		name  string
	}{
		{&model.Datacenter, "dc"},
		{&model.Cluster, "cluster"},
		{&model.ClusterHost, "host"},
		{&model.Host, "standalone-host"},
		{&model.Datastore, "ds"},
		{&model.Machine, "vm"},
		{&model.Pool, "pool"},
		{&model.App, "app"},
		{&model.Folder, "folder"},
	}
	for _, count := range counts {
		flag.IntVar(count.value, count.name, *count.value, "how many")
	}
	flag.BoolVar(&model.Autostart, "autostart", model.Autostart, "power machines on")
	flag.Bool("esx", false, "be an ESXi host by itself, and no vCenter")
	listen := flag.String("listen", "127.0.0.1:0", "address")
	user := flag.String("username", "user", "the only user that may log in")
	password := flag.String("password", "pass", "the user's password")
	idle := flag.Duration("idle", 0, "session idle timeout, 0 for none")
	flag.Parse()

	simulator.SessionIdleTimeout = *idle
	if err := model.Create(); err != nil {
		log.Fatal(err)
	}
	defer model.Remove()
	model.Service.RegisterEndpoints = true
	model.Service.Listen = &url.URL{Host: *listen, User: url.UserPassword(*user, *password)}
	model.Service.TLS = new(tls.Config)
	server := model.Service.NewServer()
	defer server.Close()
	fmt.Printf("READY https://%s\n", server.URL.Host)

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
