package main

import (
	"encoding/json"
	"fmt"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	coreinstall "k8s.io/kubernetes/pkg/apis/core/install"
	resourceinstall "k8s.io/kubernetes/pkg/apis/resource/install"
)

var (
	scheme = func() *runtime.Scheme {
		scheme := runtime.NewScheme()
		coreinstall.Install(scheme)
		resourceinstall.Install(scheme)
		return scheme
	}()
	// Strict: a misspelt field is an error, not an absent one.
	decoder = serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
)

// cluster is what kube-scheduler's caches would hold.
type cluster struct {
	nodes   map[string]*v1.Node
	classes classLister
	slices  []*resourceapi.ResourceSlice
	// In the order of the input.
	pending   []*resourceapi.ResourceClaim
	allocated []*resourceapi.ResourceClaim
}

// decode reads objects as the API server would store them: with its defaults.
func decode(objects []json.RawMessage) (*cluster, error) {
	c := &cluster{nodes: map[string]*v1.Node{}, classes: classLister{}}
	for i, raw := range objects {
		object, _, err := decoder.Decode(raw, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("object %d: %w", i, err)
		}
		scheme.Default(object)
		switch object := object.(type) {
		case *v1.Node:
			c.nodes[object.Name] = object
		case *resourceapi.DeviceClass:
			c.classes[object.Name] = object
		case *resourceapi.ResourceSlice:
			c.slices = append(c.slices, object)
		case *resourceapi.ResourceClaim:
			if object.Status.Allocation == nil {
				c.pending = append(c.pending, object)
			} else {
				c.allocated = append(c.allocated, object)
			}
		default:
			return nil, fmt.Errorf("object %d: %T is of no use here", i, object)
		}
	}
	return c, nil
}

// classLister looks classes up as kube-scheduler's does.
type classLister map[string]*resourceapi.DeviceClass

func (l classLister) Get(name string) (*resourceapi.DeviceClass, error) {
	if class, found := l[name]; found {
		return class, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Group: "resource.k8s.io", Resource: "deviceclasses"}, name)
}

func (l classLister) List() ([]*resourceapi.DeviceClass, error) {
	classes := make([]*resourceapi.DeviceClass, 0, len(l))
	for _, class := range l {
		classes = append(classes, class)
	}
	return classes, nil
}
