// The process that holds the namespaces of a pod's containers together: it waits to be ended.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	children := make(chan os.Signal, 16)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		select {
		case <-ended:
			return
		case <-children:
			// As the first process of a shared process namespace it inherits what others leave behind.
			for {
				if number, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); number <= 0 || err != nil {
					break
				}
			}
		}
	}
}
