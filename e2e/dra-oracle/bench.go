package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"k8s.io/dynamic-resource-allocation/structured"
)

type benchRequest struct {
	Objects []json.RawMessage `json:"objects"`
	Nodes   []string          `json:"nodes"`
}

type benchAnswer struct {
	Outcome string `json:"outcome"`
	Message string `json:"message,omitempty"`
	// Nodes on which the claims fit.
	Fits int `json:"fits"`
	// One measurement a round: an allocator made, and asked for each of the nodes in turn.
	Nanos []int64 `json:"nanos"`
}

// benchLine does what kube-scheduler does for one pod: one allocator, asked node by node. Objects are decoded and
// expressions compiled before, as its caches have them.
func benchLine(line []byte, rounds int) any {
	var request benchRequest
	if err := json.Unmarshal(line, &request); err != nil {
		return benchAnswer{Outcome: "bad-input", Message: err.Error()}
	}
	c, err := decode(request.Objects)
	if err != nil {
		return benchAnswer{Outcome: "bad-input", Message: err.Error()}
	}
	state := inUse(c.allocated)
	answer := benchAnswer{Outcome: "measured"}
	for round := range rounds + 1 {
		fits := 0
		start := time.Now()
		ctx := context.Background()
		allocator, err := structured.NewAllocator(ctx, allocatorFeatures, state, c.classes, c.slices, celCache)
		if err != nil {
			return benchAnswer{Outcome: "error", Message: err.Error()}
		}
		for _, name := range request.Nodes {
			node := c.nodes[name]
			if node == nil {
				return benchAnswer{Outcome: "bad-input", Message: fmt.Sprintf("there is no node %q", name)}
			}
			results, err := allocator.Allocate(ctx, node, c.pending)
			if err != nil {
				return benchAnswer{Outcome: "error", Message: err.Error()}
			}
			if len(results) > 0 {
				fits++
			}
		}
		// The first round compiles the expressions.
		if round > 0 {
			answer.Nanos = append(answer.Nanos, time.Since(start).Nanoseconds())
			answer.Fits = fits
		}
	}
	return answer
}
