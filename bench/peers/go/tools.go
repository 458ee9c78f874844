//go:build tools

// Package tools keeps the server in go.mod, which is built from there.
package tools

import _ "github.com/nats-io/nats-server/v2"
