package main

import (
	"encoding/json"
	"fmt"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/pkg/apis/resource"
	"k8s.io/kubernetes/pkg/apis/resource/validation"
	"k8s.io/kubernetes/pkg/features"
)

func init() {
	// Off by default, and `includes` in a selector is refused without it.
	if err := utilfeature.DefaultMutableFeatureGate.Set(string(features.DRAListTypeAttributes) + "=true"); err != nil {
		panic(err)
	}
}

type admitAnswer struct {
	Outcome string `json:"outcome"`
	Message string `json:"message,omitempty"`
}

// admitLine says whether the API server's validation passes all objects: specs as on create, an allocation as in the
// status update that writes it.
func admitLine(line []byte) any {
	var request allocateRequest
	if err := json.Unmarshal(line, &request); err != nil {
		return admitAnswer{Outcome: "bad-input", Message: err.Error()}
	}
	c, err := decode(request.Objects)
	if err != nil {
		return admitAnswer{Outcome: "bad-input", Message: err.Error()}
	}
	if err := c.admit(); err != nil {
		return admitAnswer{Outcome: "rejected", Message: err.Error()}
	}
	return admitAnswer{Outcome: "admitted"}
}

func (c *cluster) admit() error {
	for _, object := range c.classes {
		var class resource.DeviceClass
		if err := scheme.Convert(object, &class, nil); err != nil {
			return err
		}
		if errs := validation.ValidateDeviceClass(&class); len(errs) > 0 {
			return refusal("DeviceClass", object.Name, errs)
		}
	}
	for _, object := range c.slices {
		var slice resource.ResourceSlice
		if err := scheme.Convert(object, &slice, nil); err != nil {
			return err
		}
		if errs := validation.ValidateResourceSlice(&slice); len(errs) > 0 {
			return refusal("ResourceSlice", object.Name, errs)
		}
	}
	for _, claims := range [][]*resourceapi.ResourceClaim{c.pending, c.allocated} {
		for _, object := range claims {
			var claim resource.ResourceClaim
			if err := scheme.Convert(object, &claim, nil); err != nil {
				return err
			}
			errs := validation.ValidateResourceClaim(&claim)
			created := claim.DeepCopy()
			// A status update is no create: it comes with the version that it changes.
			claim.ResourceVersion = "1"
			created.ResourceVersion = "1"
			created.Status = resource.ResourceClaimStatus{}
			errs = append(errs, validation.ValidateResourceClaimStatusUpdate(&claim, created)...)
			if len(errs) > 0 {
				return refusal("ResourceClaim", object.Name, errs)
			}
		}
	}
	return nil
}

func refusal(kind, name string, errs field.ErrorList) error {
	return fmt.Errorf("%s %s: %w", kind, name, errs.ToAggregate())
}
