// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net"
)

// runEcho is examples/echo with a goroutine for each connection.
func runEcho(o options) error {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", o["port"]))
	if err != nil {
		return err
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			buffer := make([]byte, 16384)
			for {
				n, err := connection.Read(buffer)
				if n > 0 {
					if _, err := connection.Write(buffer[:n]); err != nil {
						break
					}
				}
				if err != nil {
					break
				}
			}
			connection.Close()
		}()
	}
}
