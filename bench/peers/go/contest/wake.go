package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// How long everybody is idle before a message is published.
	idle = time.Millisecond
	// Longest wait for a message that was published.
	patience = 10 * time.Second
	// Messages before anything counts.
	warming = 20
)

// A waker publishes on one connection and consumes on another.
type waker struct {
	options
	publishing jetstream.JetStream
	payload    []byte
	arrivals   chan time.Time
}

func openWaker(options options) (*waker, error) {
	url := fmt.Sprintf("nats://127.0.0.1:%d", options.port)
	var streams [2]jetstream.JetStream
	for at := range streams {
		connection, err := nats.Connect(url)
		if err != nil {
			return nil, err
		}
		if streams[at], err = jetstream.New(connection); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	config := jetstream.StreamConfig{Name: "WAKE", Subjects: []string{"wake"}, Storage: jetstream.FileStorage}
	if _, err := streams[0].CreateStream(ctx, config); err != nil {
		return nil, err
	}
	explicit := jetstream.ConsumerConfig{Durable: "waits", AckPolicy: jetstream.AckExplicitPolicy}
	consumer, err := streams[1].CreateConsumer(ctx, "WAKE", explicit)
	if err != nil {
		return nil, err
	}
	found := &waker{options, streams[0], make([]byte, options.size), make(chan time.Time, 1)}
	// Requests for messages are always on their way: nothing is asked for after a message has come.
	_, err = consumer.Consume(func(message jetstream.Msg) {
		found.arrivals <- time.Now()
		if err := message.Ack(); err != nil {
			panic(err)
		}
	})
	return found, err
}

func (w *waker) one() (time.Duration, error) {
	time.Sleep(idle)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	start := time.Now()
	if _, err := w.publishing.Publish(ctx, "wake", w.payload); err != nil {
		return 0, err
	}
	select {
	case arrived := <-w.arrivals:
		return arrived.Sub(start), nil
	case <-ctx.Done():
		return 0, errors.New("a message did not arrive")
	}
}

func (w *waker) stint(messages int, seconds float64) error {
	for range warming {
		if _, err := w.one(); err != nil {
			return err
		}
	}
	times := []time.Duration{}
	fmt.Println("begin")
	begun := time.Now()
	for len(times) < messages && time.Since(begun).Seconds() < seconds {
		took, err := w.one()
		if err != nil {
			return err
		}
		times = append(times, took)
	}
	report(time.Since(begun), times)
	return nil
}
