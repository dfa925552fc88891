// SPDX-License-Identifier: MIT

// Go's net package: a goroutine for each connection; --threads is the number
// that run at the same time.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

func nap(message []byte) {
	if !bytes.HasPrefix(message, []byte("SLEEP ")) {
		return
	}
	digits := message[6:]
	if end := bytes.IndexByte(digits, '\n'); end >= 0 {
		digits = digits[:end]
	}
	if ms, err := strconv.Atoi(string(digits)); err == nil {
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
}

func serve(c net.Conn) {
	defer c.Close()
	chunk := make([]byte, 4096)
	for {
		n, err := c.Read(chunk)
		if err != nil {
			return
		}
		nap(chunk[:n])
		if _, err = c.Write(chunk[:n]); err != nil {
			return
		}
	}
}

func main() {
	port := flag.Int("port", 0, "port to listen on")
	threads := flag.Int("threads", 2, "goroutines that run at once")
	flag.Parse()
	runtime.GOMAXPROCS(*threads)
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil {
		files.Cur = files.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files)
	}
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening", l.Addr().(*net.TCPAddr).Port)
	for {
		if c, err := l.Accept(); err == nil {
			go serve(c)
		}
	}
}
