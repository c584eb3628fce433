package main

import (
	"net"
	"sync"
	"sync/atomic"
)

// A listener that closes connections beyond a number.
type limited struct {
	net.Listener
	most int64
	open atomic.Int64
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &counted{Conn: conn, of: l}, nil
		}
		l.open.Add(-1)
		_ = conn.Close() // nobody has seen it yet
	}
}

type counted struct {
	net.Conn
	of   *limited
	once sync.Once
}

func (c *counted) Close() error {
	c.once.Do(func() { c.of.open.Add(-1) })
	return c.Conn.Close()
}
