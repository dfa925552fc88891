// SPDX-License-Identifier: MIT

// Go's net package: a goroutine for each connection; --threads is the number
// that run at the same time.  With --certificate, crypto/tls; with --style 16k,
// reads of 16 KiB, as much as a record of TLS has.
package main

import (
	"bytes"
	"crypto/tls"
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

func serve(c net.Conn, size int) {
	defer c.Close()
	chunk := make([]byte, size)
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

func secure(l net.Listener, file string) net.Listener {
	pair, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{pair}})
}

func main() {
	port := flag.Int("port", 0, "port to listen on")
	threads := flag.Int("threads", 2, "goroutines that run at once")
	style := flag.String("style", "", "16k: larger reads")
	certificate := flag.String("certificate", "", "file: certificate and key")
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
	size := 4096
	if *style == "16k" {
		size = 16384
	}
	if *certificate != "" {
		l = secure(l, *certificate)
	}
	for {
		if c, err := l.Accept(); err == nil {
			go serve(c, size)
		}
	}
}
