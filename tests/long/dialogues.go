// SPDX-License-Identifier: MIT

// The dialogue of examples/smtp.c with a goroutine for each client, and the
// reader of the standard library with its usual buffer: what dialogues.py
// compares memory with.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
)

func expect(c net.Conn, r *bufio.Reader, command, answer string) (string, error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(strings.ToUpper(line), command) {
			_, err = fmt.Fprintf(c, "%s\r\n", answer)
			return line[len(command):], err
		}
		if _, err = fmt.Fprintf(c, "503 expected %s\r\n", command); err != nil {
			return "", err
		}
	}
}

func receiveText(r *bufio.Reader) (int, error) {
	for size := 0; ; {
		line, err := r.ReadString('\n')
		if err != nil || line == ".\r\n" || line == ".\n" {
			return size, err
		}
		size += len(line)
	}
}

func receiveMail(c net.Conn) {
	defer c.Close()
	var from, to string
	r := bufio.NewReader(c)
	_, err := fmt.Fprintf(c, "220 weir\r\n")
	if err == nil {
		_, err = expect(c, r, "HELO ", "250 hello")
	}
	if err == nil {
		from, err = expect(c, r, "MAIL FROM:", "250 go on")
	}
	if err == nil {
		to, err = expect(c, r, "RCPT TO:", "250 go on")
	}
	if err == nil {
		_, err = expect(c, r, "DATA", "354 end with a dot")
	}
	if err != nil {
		return
	}
	size, err := receiveText(r)
	if err == nil {
		_, err = fmt.Fprintf(c, "250 took %d bytes from %s to %s\r\n", size,
			from, to)
	}
	if err == nil {
		_, _ = expect(c, r, "QUIT", "221 bye")
	}
}

func main() {
	runtime.GOMAXPROCS(2)
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil {
		files.Cur = files.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("taking mail at %s\n", l.Addr())
	for {
		if c, err := l.Accept(); err == nil {
			go receiveMail(c)
		}
	}
}
