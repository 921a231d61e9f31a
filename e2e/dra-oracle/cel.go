package main

import (
	"context"
	"encoding/json"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"
)

type celRequest struct {
	Expression string             `json:"expression"`
	Driver     string             `json:"driver"`
	Device     resourceapi.Device `json:"device"`
}

type celAnswer struct {
	Outcome string `json:"outcome"`
	Message string `json:"message,omitempty"`
}

// evaluateLine evaluates one selector on one device as the allocator does.
func evaluateLine(line []byte) any {
	var request celRequest
	if err := json.Unmarshal(line, &request); err != nil {
		return celAnswer{Outcome: "bad-input", Message: err.Error()}
	}
	compiled := celCache.GetOrCompile(request.Expression)
	if compiled.Error != nil {
		return celAnswer{Outcome: "compile-error", Message: compiled.Error.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	matches, _, err := compiled.DeviceMatches(ctx, cel.Device{
		Driver:                   request.Driver,
		AllowMultipleAllocations: request.Device.AllowMultipleAllocations,
		Attributes:               request.Device.Attributes,
		Capacity:                 request.Device.Capacity,
	})
	switch {
	case err != nil:
		return celAnswer{Outcome: "runtime-error", Message: err.Error()}
	case matches:
		return celAnswer{Outcome: "true"}
	default:
		return celAnswer{Outcome: "false"}
	}
}
