// The kube-apiserver of k8s.io/kubernetes, unchanged, as a test server.
// Its own main package cannot be installed with `go install ...@version`,
// because k8s.io/kubernetes replaces its staging modules by local folders.
package main

import (
	"os"

	_ "time/tzdata"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
