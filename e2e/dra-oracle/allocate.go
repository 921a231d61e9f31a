package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
)

const (
	// What a search may take before the context is cancelled, which upstream looks at on each step, if not asked for less.
	patience = 5 * time.Second
	// A search that does not notice is given up on.
	grace = time.Second
)

var (
	allocatorFeatures = structured.Features{
		AdminAccess:            true,
		ConsumableCapacity:     true,
		DeviceBindingAndStatus: true,
		DeviceTaints:           true,
		ListTypeAttributes:     true,
		PartitionableDevices:   true,
		PrioritizedList:        true,
	}
	celFeatures = cel.Features{EnableConsumableCapacity: true, EnableListTypeAttributes: true}
	// More than there are different expressions in a batch: compiling is not what is looked at.
	celCache = cel.NewCache(1000, celFeatures)
)

type allocateRequest struct {
	Objects []json.RawMessage `json:"objects"`
	Node    string            `json:"node"`
	// Optional.
	PatienceMilliseconds int64 `json:"patienceMilliseconds"`
}

type allocateAnswer struct {
	Outcome string           `json:"outcome"`
	Message string           `json:"message,omitempty"`
	Claims  []allocatedClaim `json:"claims,omitempty"`
	Nanos   int64            `json:"nanos"`
}

type allocatedClaim struct {
	Name       string                       `json:"name"`
	Allocation resourceapi.AllocationResult `json:"allocation"`
}

func allocateLine(line []byte) any {
	var request allocateRequest
	if err := json.Unmarshal(line, &request); err != nil {
		return allocateAnswer{Outcome: "bad-input", Message: err.Error()}
	}
	c, err := decode(request.Objects)
	if err != nil {
		return allocateAnswer{Outcome: "bad-input", Message: err.Error()}
	}
	if c.nodes[request.Node] == nil {
		return allocateAnswer{Outcome: "bad-input", Message: fmt.Sprintf("there is no node %q", request.Node)}
	}

	patience := patience
	if request.PatienceMilliseconds > 0 {
		patience = time.Duration(request.PatienceMilliseconds) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	start := time.Now()
	answers := make(chan allocateAnswer, 1)
	go func() {
		defer func() {
			if panicked := recover(); panicked != nil {
				answers <- allocateAnswer{Outcome: "panic", Message: fmt.Sprint(panicked)}
			}
		}()
		answers <- allocate(ctx, c, request.Node)
	}()
	var answer allocateAnswer
	select {
	case answer = <-answers:
	case <-time.After(patience + grace):
		answer = allocateAnswer{Outcome: "timeout", Message: "does not listen to its context"}
	}
	answer.Nanos = time.Since(start).Nanoseconds()
	return answer
}

func allocate(ctx context.Context, c *cluster, node string) allocateAnswer {
	allocator, err := structured.NewAllocator(ctx, allocatorFeatures, inUse(c.allocated), c.classes, c.slices, celCache)
	if err != nil {
		return allocateAnswer{Outcome: "error", Message: err.Error()}
	}
	results, err := allocator.Allocate(ctx, c.nodes[node], c.pending)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return allocateAnswer{Outcome: "timeout", Message: err.Error()}
	case err != nil:
		return allocateAnswer{Outcome: "error", Message: err.Error()}
	// Nothing to allocate is allocated.
	case len(results) == 0 && len(c.pending) > 0:
		return allocateAnswer{Outcome: "no-fit"}
	}
	claims := make([]allocatedClaim, len(results))
	for i, result := range results {
		claims[i] = allocatedClaim{Name: c.pending[i].Name, Allocation: result}
	}
	return allocateAnswer{Outcome: "fits", Claims: claims}
}
