// NATS JetStream: a stream in files, published with up to `window` acknowledgements on the way over one connection; the harness
// starts the server, whose sync_interval is `always` or its default of two minutes.
//
// What a contestant says and hears stands in bench/peers/rust/src/contest.rs.
//
//	put
//	wake  from a publication until a consumer has the message, see wake.go
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"sort"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

type options struct {
	size, window, port int
}

func read(words []string) (options, error) {
	found := options{size: 100, window: 1}
	for at := 1; at+1 < len(words); at += 2 {
		into := map[string]*int{"--size": &found.size, "--window": &found.window, "--port": &found.port}[words[at]]
		if into == nil {
			continue
		}
		number, err := strconv.Atoi(words[at+1])
		if err != nil {
			return found, fmt.Errorf("cannot read %s: %w", words[at], err)
		}
		*into = number
	}
	return found, nil
}

type contest struct {
	options
	stream  jetstream.JetStream
	payload []byte
}

func open(options options) (*contest, error) {
	connection, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", options.port))
	if err != nil {
		return nil, err
	}
	stream, err := jetstream.New(connection, jetstream.WithPublishAsyncMaxPending(2*options.window))
	return &contest{options, stream, make([]byte, options.size)}, err
}

func (c *contest) renew() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.stream.DeleteStream(ctx, "QUEUE"); err != nil && err != jetstream.ErrStreamNotFound {
		return err
	}
	config := jetstream.StreamConfig{Name: "QUEUE", Subjects: []string{"queue"}, Storage: jetstream.FileStorage}
	_, err := c.stream.CreateStream(ctx, config)
	return err
}

// Publishes so many, or until it is late; the acknowledgements come in order.
func (c *contest) publish(count int, until time.Time) (int, []time.Duration, error) {
	type started struct {
		at     time.Time
		future jetstream.PubAckFuture
	}
	open := make([]started, 0, c.window)
	times := []time.Duration{}
	sent := 0
	for len(times) < count {
		for sent < count && len(open) < c.window && time.Now().Before(until) {
			now := time.Now()
			future, err := c.stream.PublishAsync("queue", c.payload)
			if err != nil {
				return 0, nil, err
			}
			open = append(open, started{now, future})
			sent++
		}
		if len(open) == 0 {
			break
		}
		select {
		case <-open[0].future.Ok():
		case err := <-open[0].future.Err():
			return 0, nil, err
		}
		times = append(times, time.Since(open[0].at))
		open = open[1:]
	}
	return len(times), times, nil
}

func (c *contest) stint(messages int, seconds float64) error {
	if err := c.renew(); err != nil {
		return err
	}
	if _, _, err := c.publish(messages/20+1, time.Now().Add(time.Second/2)); err != nil {
		return err
	}
	fmt.Println("begin")
	begun := time.Now()
	_, times, err := c.publish(messages, begun.Add(time.Duration(seconds*float64(time.Second))))
	if err != nil {
		return err
	}
	report(time.Since(begun), times)
	return nil
}

// Says how a stint went, of which each message was a commit.
func report(took time.Duration, times []time.Duration) {
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	us := func(share float64) float64 {
		return float64(times[int(float64(len(times)-1)*share)].Nanoseconds()) / 1e3
	}
	fmt.Printf(`{"messages":%d,"commits":%d,"seconds":%.9f,"p50_us":%.3f,"p99_us":%.3f,"p9999_us":%.3f}`+"\n",
		len(times), len(times), took.Seconds(), us(0.5), us(0.99), us(0.9999))
}

func run() error {
	if len(os.Args) < 2 {
		return fmt.Errorf("the workload is missing")
	}
	options, err := read(os.Args[1:])
	if err != nil {
		return err
	}
	var contest interface {
		stint(messages int, seconds float64) error
	}
	switch os.Args[1] {
	case "put":
		contest, err = open(options)
	case "wake":
		contest, err = openWaker(options)
	default:
		return fmt.Errorf("there is no such workload: %q", os.Args[1:])
	}
	if err != nil {
		return err
	}
	fmt.Println("ready 2.15.2")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var messages int
		var seconds float64
		if _, err := fmt.Sscanf(lines.Text(), "go %d %f", &messages, &seconds); err != nil {
			return fmt.Errorf("cannot understand %q: %w", lines.Text(), err)
		}
		if err := contest.stint(messages, seconds); err != nil {
			return err
		}
	}
	return lines.Err()
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "nats-contest: %v\n", err)
		os.Exit(1)
	}
}
