//! What values make of the chart.

use serde_json::{Value, json};

use super::chart::{self, CHART, EVERYTHING, has, object, render};

#[test]
fn helm_lint_has_nothing_to_say() {
    // It knows no --api-versions; the policies that need one are rendered by all other tests.
    let mutates = |value: &&str| value.contains("policies.gangs.") || value.contains("policies.fence.");
    for values in [&[][..], EVERYTHING] {
        let values = values.iter().copied().filter(|value| !mutates(value)).flat_map(|value| ["--set", value]);
        let args = ["lint", "--strict", CHART, "--kube-version", chart::KUBE_VERSION];
        let output = chart::helm(args.into_iter().chain(values)).unwrap();
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}{error}");
        assert!(!out.contains("[WARNING]") && !out.contains("[ERROR]"), "{out}");
    }
}

/// Values that must be refused, and by which word.
#[test]
fn values_that_make_no_sense_are_refused() {
    let refused = [
        ("replica=2", "replica"),
        ("replicas=0", "replicas"),
        ("tls.method=none", "method"),
        ("scheduler.extenderWeight=140", "extenderWeight"),
        ("scheduler.replicas=many", "replicas"),
        ("scheduler.name=", "name"),
        ("config.mode=perhaps", "mode"),
        ("policies.gangs.enabled=yes please", "enabled"),
        ("policies.gangs.by=somebody", "by"),
        ("schedulerName=testudo-scheduler", "testudo would wait for itself"),
    ];
    for (value, word) in refused {
        let error = chart::text(&[value]).expect_err(value).to_string();
        assert!(error.contains(word), "{value}: {error}");
    }
}

#[test]
fn older_clusters_are_refused_and_vendors_suffixes_are_not() {
    let error = chart::text_for("v1.33.9", "", &[]).unwrap_err().to_string();
    assert!(error.contains("kubeVersion: >=1.34.0-0"), "{error}");
    let images = [
        ("v1.34.4", "v1.34.4"),
        ("v1.35.2-eks-abc1234", "v1.35.2"),
        ("v1.35.2-gke.1001000", "v1.35.2"),
        ("v1.36.3+k3s1", "v1.36.3"),
    ];
    for (server, scheduler) in images {
        let rendered = chart::objects(&chart::text_for(server, "", &[]).unwrap()).unwrap();
        let pod = &object(&rendered, "Deployment", "testudo-scheduler")["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["image"], format!("registry.k8s.io/kube-scheduler:{scheduler}"), "{server}");
    }
}

#[test]
fn policies_that_mutate_say_what_they_need() {
    for value in ["policies.fence.enabled=true", "policies.gangs.by=policy"] {
        let values = ["policies.gangs.enabled=true", value];
        let error = chart::text_for("v1.35.4", "", &values).unwrap_err().to_string();
        assert!(error.contains("from 1.36 on"), "{error}");
        chart::text(&values).unwrap();
    }
}

/// Members of gangs are changed by a policy where the cluster has such, else by a webhook of testudo.
#[test]
fn the_webhook_takes_the_place_of_the_policy_below_1_36() {
    const KIND: &str = "MutatingWebhookConfiguration";
    let on = "policies.gangs.enabled=true";
    let new = render(&[on]);
    assert!(has(&new, "MutatingAdmissionPolicy", "testudo-gangs") && !has(&new, KIND, "testudo-gangs"));
    assert!(!has(&new, "Service", "testudo-webhook"));
    let old = chart::objects(&chart::text_for("v1.35.4", "", &[on]).unwrap()).unwrap();
    assert!(!has(&old, "MutatingAdmissionPolicy", "testudo-gangs"));
    let webhook = &object(&old, KIND, "testudo-gangs")["webhooks"][0];
    assert_eq!(webhook["failurePolicy"], "Ignore");
    assert_eq!(webhook["namespaceSelector"]["matchLabels"]["testudo.dev/scheduling"], "required");
    // Both look at the same pods.
    let conditions = &object(&new, "MutatingAdmissionPolicy", "testudo-gangs")["spec"]["matchConditions"];
    assert_eq!(&webhook["matchConditions"], conditions);
    // What the API server calls is what testudo serves, whoever leads.
    let service = object(&old, "Service", "testudo-webhook");
    assert_eq!(webhook["clientConfig"]["service"]["name"], service["metadata"]["name"]);
    assert!(service["spec"]["selector"]["testudo.dev/leader"].is_null());
    let pod = &object(&old, "Deployment", "testudo")["spec"]["template"]["spec"];
    let ports = pod["containers"][0]["ports"].as_array().unwrap();
    let port = ports.iter().find(|port| port["name"] == service["spec"]["ports"][0]["targetPort"]).unwrap();
    let config = object(&old, "ConfigMap", "testudo")["data"]["testudo.yaml"].as_str().unwrap();
    let config: Value = serde_saphyr::from_str(config).unwrap();
    assert_eq!(config["webhook"]["bindAddress"], format!("0.0.0.0:{}", port["containerPort"]));
    let ingress = &object(&old, "NetworkPolicy", "testudo")["spec"]["ingress"];
    assert!(ingress.as_array().unwrap().iter().any(|rule| rule["ports"][0]["port"] == "webhook"), "{ingress}");
}

/// By which authority the API server knows the webhook.
#[test]
fn the_webhook_is_known_by_the_authority_of_its_certificate() {
    let webhook = |values: &[&str]| -> anyhow::Result<(Vec<Value>, Value)> {
        let values: Vec<&str> = ["policies.gangs.enabled=true", "policies.gangs.by=webhook"]
            .into_iter()
            .chain(values.iter().copied())
            .collect();
        let rendered = chart::objects(&chart::text(&values)?)?;
        let webhook = object(&rendered, "MutatingWebhookConfiguration", "testudo-gangs").clone();
        Ok((rendered, webhook))
    };
    let bundle = |webhook: &Value| webhook["webhooks"][0]["clientConfig"]["caBundle"].clone();
    let (rendered, made_by_helm) = webhook(&["tls.method=helm"]).unwrap();
    assert_eq!(bundle(&made_by_helm), object(&rendered, "Secret", "testudo-tls")["data"]["ca.crt"]);
    let (rendered, injected) = webhook(&["tls.method=certManager"]).unwrap();
    assert!(bundle(&injected).is_null());
    assert_eq!(injected["metadata"]["annotations"]["cert-manager.io/inject-ca-from"], "testudo-system/testudo");
    let names = object(&rendered, "Certificate", "testudo")["spec"]["dnsNames"].as_array().unwrap();
    assert!(names.contains(&json!("testudo-webhook.testudo-system.svc")), "{names:?}");
    let (_, given) = webhook(&["tls.method=secrets", "policies.gangs.webhook.caBundle=PEM"]).unwrap();
    assert_eq!(bundle(&given), "UEVN");
    let error = webhook(&["tls.method=secrets"]).unwrap_err().to_string();
    assert!(error.contains("policies.gangs.webhook.caBundle is needed"), "{error}");
}

#[test]
fn every_pod_passes_the_restricted_standard_and_needs_no_testudo() {
    for values in [&[][..], EVERYTHING] {
        let rendered = render(values);
        let pods: Vec<&Value> =
            rendered.iter().filter(|object| object["spec"]["template"]["spec"].is_object()).collect();
        assert_eq!(pods.len(), 3, "testudo, its kube-scheduler, and what runs before it is taken away");
        for object in pods {
            let (name, pod) = (&object["metadata"]["name"], &object["spec"]["template"]["spec"]);
            assert_eq!(pod["schedulerName"], "default-scheduler", "{name}");
            assert_eq!(pod["priorityClassName"], "system-cluster-critical", "{name}");
            let context = &pod["securityContext"];
            assert_eq!(context["runAsNonRoot"], true, "{name}");
            assert_eq!(context["runAsUser"], 65532, "{name}");
            assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            for container in pod["containers"].as_array().unwrap() {
                let context = &container["securityContext"];
                assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{name}");
                assert!(container["resources"]["requests"]["cpu"].is_string(), "{name}");
                assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
            }
        }
    }
}

#[test]
fn everything_is_labelled_and_in_its_namespace() {
    let cluster_wide = ["ClusterRole", "ClusterRoleBinding"];
    for object in render(EVERYTHING) {
        let (kind, metadata) = (object["kind"].as_str().unwrap(), &object["metadata"]);
        let labels = &metadata["labels"];
        assert_eq!(labels["app.kubernetes.io/name"], "testudo", "{kind} {metadata}");
        assert_eq!(labels["app.kubernetes.io/instance"], "testudo", "{kind} {metadata}");
        assert_eq!(labels["app.kubernetes.io/part-of"], "testudo", "{kind} {metadata}");
        let namespace = metadata["namespace"].as_str();
        if cluster_wide.contains(&kind) || kind.contains("AdmissionPolicy") {
            assert_eq!(namespace, None, "{kind} {metadata}");
        } else {
            assert!(matches!(namespace, Some("testudo-system" | "kube-system")), "{kind} {metadata}");
        }
    }
}

#[test]
fn selectors_select_the_pods_they_mean() {
    let rendered = render(EVERYTHING);
    for (selecting, deployment) in [
        (&object(&rendered, "Service", "testudo-metrics")["spec"]["selector"], "testudo"),
        (&object(&rendered, "NetworkPolicy", "testudo")["spec"]["podSelector"]["matchLabels"], "testudo"),
        (
            &object(&rendered, "NetworkPolicy", "testudo-scheduler")["spec"]["podSelector"]["matchLabels"],
            "testudo-scheduler",
        ),
        (
            &object(&rendered, "PodDisruptionBudget", "testudo-scheduler")["spec"]["selector"]["matchLabels"],
            "testudo-scheduler",
        ),
    ] {
        let labels = &object(&rendered, "Deployment", deployment)["spec"]["template"]["metadata"]["labels"];
        let wanted = selecting.as_object().unwrap();
        assert!(!wanted.is_empty());
        for (key, value) in wanted {
            assert_eq!(&labels[key], value, "{key} of {deployment}");
        }
    }
    let monitor = object(&rendered, "ServiceMonitor", "testudo");
    let services = object(&rendered, "Service", "testudo-metrics");
    for (key, value) in monitor["spec"]["selector"]["matchLabels"].as_object().unwrap() {
        assert_eq!(&services["metadata"]["labels"][key], value, "{key}");
    }
}

/// With several replicas only the one that decides is called, and evictions leave one.
#[test]
fn several_replicas_elect_one() {
    let (one, two) = (render(&["replicas=1"]), render(&["replicas=2"]));
    let leader =
        |objects: &[Value]| object(objects, "Service", "testudo")["spec"]["selector"]["testudo.dev/leader"].clone();
    assert_eq!((leader(&one), leader(&two)), (Value::Null, json!("true")));
    assert_eq!(object(&one, "Deployment", "testudo")["spec"]["strategy"]["type"], "Recreate");
    assert!(!has(&one, "PodDisruptionBudget", "testudo"));
    assert!(has(&two, "PodDisruptionBudget", "testudo"));
}

#[test]
fn without_a_scheduler_nothing_of_it_is_left() {
    let rendered = render(&["scheduler.enabled=false"]);
    let of_scheduler = |object: &&Value| {
        object.to_string().contains("kube-scheduler.yaml") || object["metadata"]["name"] == "testudo-scheduler"
    };
    let left: Vec<&Value> = rendered.iter().filter(of_scheduler).filter(|object| object["kind"] != "Secret").collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(has(&rendered, "Deployment", "testudo"));
    // Where it comes from cannot be said by labels.
    let from = &object(&rendered, "NetworkPolicy", "testudo")["spec"]["ingress"][0];
    assert!(from["from"].is_null(), "{from}");
}

/// What the chart knows is filled in, and what the values say wins.
#[test]
fn the_configuration_is_what_the_values_say() {
    let config = |values: &[&str]| -> Value {
        let rendered = render(values);
        serde_saphyr::from_str(object(&rendered, "ConfigMap", "testudo")["data"]["testudo.yaml"].as_str().unwrap())
            .unwrap()
    };
    let shipped = config(&[]);
    assert_eq!(shipped["gangs"]["schedulerNames"], json!(["testudo-scheduler"]));
    assert_eq!(shipped["extender"]["tls"]["clientCAFile"], "/etc/testudo/tls/ca.crt");
    let other = config(&["scheduler.name=gpu-scheduler", "config.mode=observe", "config.extender.maxNodes=7"]);
    assert_eq!(other["gangs"]["schedulerNames"], json!(["gpu-scheduler"]));
    assert_eq!(other["mode"], "observe");
    assert_eq!(other["extender"]["maxNodes"], 7);
    assert_eq!(other["extender"]["bindTimeout"], "25s");
}

/// The placement policy is a file of its own, mounted where the configuration says, and what the values say is what it says.
#[test]
fn the_placement_policy_is_what_the_values_say() {
    let rendered = render(&["placementPolicy.profiles[0].name=rest", "placementPolicy.profiles[0].like=batch"]);
    let text = object(&rendered, "ConfigMap", "testudo-policy")["data"]["policy.yaml"].as_str().unwrap();
    let policy: Value = serde_saphyr::from_str(text).unwrap();
    assert_eq!(policy["profiles"], json!([{ "name": "rest", "like": "batch" }]));
    let file = testudo::policy::parse(text, "policy.yaml".as_ref()).unwrap();
    assert_eq!(file.policy.profiles.iter().next().unwrap().name.as_ref(), "rest");
    let config = object(&rendered, "ConfigMap", "testudo")["data"]["testudo.yaml"].as_str().unwrap();
    assert!(config.contains("policyFile: /etc/testudo/policy/policy.yaml"), "{config}");
    let pod = &object(&rendered, "Deployment", "testudo")["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["volumeMounts"][2]["mountPath"], "/etc/testudo/policy");
    assert_eq!(pod["volumes"][2]["configMap"]["name"], "testudo-policy");
}

/// A change of the configuration makes other pods; one of the certificates does not, for they are read again.
#[test]
fn pods_change_with_their_configuration_only() {
    let checksums = |values: &[&str]| {
        let rendered = render(values);
        ["testudo", "testudo-scheduler"].map(|name| {
            object(&rendered, "Deployment", name)["spec"]["template"]["metadata"]["annotations"].to_string()
        })
    };
    // Each rendering without a cluster has certificates of its own.
    assert_eq!(checksums(&[]), checksums(&[]));
    let (before, observing, weighty) =
        (checksums(&[]), checksums(&["config.mode=observe"]), checksums(&["scheduler.extenderWeight=300"]));
    assert_ne!(before[0], observing[0]);
    assert_eq!(before[1], observing[1]);
    assert_eq!(before[0], weighty[0]);
    assert_ne!(before[1], weighty[1]);
    assert_eq!(before, checksums(&["placementPolicy.profiles[0].name=rest"]), "it is taken up while testudo runs");
}

#[test]
fn each_way_to_certificates_makes_its_objects() {
    let names = |method: &str| {
        let rendered = render(&[&format!("tls.method={method}")]);
        let of_tls = |object: &&Value| ["Secret", "Certificate", "Issuer"].iter().any(|kind| object["kind"] == *kind);
        let mut names: Vec<String> = rendered
            .iter()
            .filter(of_tls)
            .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]).replace('"', ""))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("helm"), ["Secret testudo-ca", "Secret testudo-scheduler-tls", "Secret testudo-tls"]);
    let of_cert_manager = [
        "Certificate testudo",
        "Certificate testudo-ca",
        "Certificate testudo-scheduler",
        "Issuer testudo",
        "Issuer testudo-selfsigned",
    ];
    assert_eq!(names("certManager"), of_cert_manager);
    assert!(names("secrets").is_empty());
    // Both ends mount what is made.
    for method in ["helm", "certManager", "secrets"] {
        let rendered = render(&[&format!("tls.method={method}")]);
        for (deployment, secret) in [("testudo", "testudo-tls"), ("testudo-scheduler", "testudo-scheduler-tls")] {
            let volumes = &object(&rendered, "Deployment", deployment)["spec"]["template"]["spec"]["volumes"];
            assert_eq!(volumes[1]["secret"]["secretName"], secret);
        }
    }
}

/// `commonLabels` and names given by hand reach everything without making two of anything.
#[test]
fn names_and_labels_can_be_chosen() {
    let rendered = render(&["fullnameOverride=shields", "commonLabels.team=gpu"]);
    assert!(has(&rendered, "Deployment", "shields") && has(&rendered, "Deployment", "shields-scheduler"));
    assert!(rendered.iter().all(|object| object["metadata"]["labels"]["team"] == "gpu"));
    let config =
        object(&rendered, "ConfigMap", "shields-scheduler")["data"]["kube-scheduler.yaml"].as_str().unwrap().to_owned();
    assert!(config.contains("https://shields.testudo-system.svc:8888/v1"), "{config}");
}

#[test]
fn the_values_of_the_examples_are_values() {
    for example in ["kind", "eks"] {
        let file = format!("deploy/examples/{example}/values.yaml");
        let api = ["--api-versions", "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"];
        let args = ["template", "testudo", CHART, "--kube-version", chart::KUBE_VERSION, "--values", &file];
        let output = chart::helm(args.into_iter().chain(api)).unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// What a role of testudo's allows.
fn allows(objects: &[Value], verb: &str, resource: &str) -> bool {
    let rules = object(objects, "ClusterRole", "testudo")["rules"].as_array().unwrap();
    let lists = |rule: &Value, field: &str, word: &str| rule[field].as_array().unwrap().contains(&json!(word));
    rules.iter().any(|rule| lists(rule, "verbs", verb) && lists(rule, "resources", resource))
}

/// Who can be reached asks for tokens, by TLS; who is not may ask nobody about any.
#[test]
fn an_exposed_page_asks_for_tokens() {
    let (hidden, exposed) =
        (render(&[]), render(&["page.expose=true", "page.from[0].namespaceSelector.matchLabels.a=b"]));
    let web = |objects: &[Value]| -> Value {
        let text = object(objects, "ConfigMap", "testudo")["data"]["testudo.yaml"].as_str().unwrap();
        serde_saphyr::from_str::<Value>(text).unwrap()["web"].clone()
    };
    let ports = |objects: &[Value], kind: &str, path: &str| {
        object(objects, kind, "testudo").pointer(path).unwrap().to_string().contains("\"page\"")
    };
    assert_eq!(
        (web(&hidden)["authentication"].clone(), web(&hidden)["bindAddress"].clone()),
        (json!("none"), json!("127.0.0.1:8890"))
    );
    assert_eq!(
        (web(&exposed)["authentication"].clone(), web(&exposed)["bindAddress"].clone()),
        (json!("token"), json!("0.0.0.0:8890"))
    );
    assert!(web(&exposed)["tls"]["certFile"].is_string());
    for (objects, is_exposed) in [(&hidden, false), (&exposed, true)] {
        for resource in ["tokenreviews", "subjectaccessreviews"] {
            assert_eq!(allows(objects, "create", resource), is_exposed, "{resource}");
        }
        assert_eq!(has(objects, "ClusterRole", "testudo-page"), is_exposed);
        assert_eq!(ports(objects, "Service", "/spec/ports"), is_exposed);
        assert_eq!(ports(objects, "Deployment", "/spec/template/spec/containers/0/ports"), is_exposed);
        assert_eq!(ports(objects, "NetworkPolicy", "/spec/ingress"), is_exposed);
    }
    let bound = exposed.iter().filter(|object| object["roleRef"]["name"] == "testudo-page");
    assert_eq!(bound.count(), 0, "who may see it is for the operator to say");
    // Asked for by hand, on loopback: the right to ask comes with it.
    let by_hand = render(&["config.web.authentication=token"]);
    assert!(allows(&by_hand, "create", "tokenreviews") && !ports(&by_hand, "Service", "/spec/ports"));
}

/// With the right to patch pods an image could be changed.
#[test]
fn pods_are_patched_only_where_gates_are_used() {
    assert!(allows(&render(&[]), "patch", "pods"));
    let without = render(&["gates.enabled=false"]);
    assert!(!allows(&without, "patch", "pods"));
    assert!(allows(&without, "patch", "pods/status"), "gangs are still steered");
    for by in ["policy", "webhook"] {
        let by = format!("policies.gangs.by={by}");
        let error = chart::text(&["gates.enabled=false", "policies.gangs.enabled=true", &by]).unwrap_err().to_string();
        assert!(error.contains("nobody would open"), "{by}: {error}");
    }
}

/// With that right labels and taints could be changed. What was protected before is let go as long as it is there.
#[test]
fn nodes_are_written_only_beside_an_autoscaler() {
    let writes_nodes = |values: &[&str]| allows(&render(values), "patch", "nodes");
    assert!(!writes_nodes(&[]));
    assert!(writes_nodes(&["config.autoscaling.enabled=true"]));
    assert!(writes_nodes(&["config.autoscaling.enabled=true", "config.autoscaling.protectNodes=false"]));
}

/// What a leader has protected while the first one ran would stay so for ever.
#[test]
fn what_runs_before_the_chart_is_taken_away_runs_once_more_after_it() {
    let job = render(&[]).into_iter().find(|object| object["kind"] == "Job").expect("a hook");
    let (hook, account) = ("helm.sh/hook", &job["spec"]["template"]["spec"]["serviceAccountName"]);
    let of_hook = render(&[]).into_iter().filter(|object| object["metadata"]["name"] == *account);
    let when: Vec<Value> = of_hook.map(|object| object["metadata"]["annotations"][hook].clone()).collect();
    assert_eq!(when, vec![json!("pre-delete,post-delete"); 4], "the Job, and what it needs");
}

/// kube-scheduler reads the authority only when it starts.
#[test]
fn another_authority_makes_other_pods_of_kube_scheduler() {
    let annotations = |values: &[&str]| {
        object(&render(values), "Deployment", "testudo-scheduler")["spec"]["template"]["metadata"]["annotations"]
            .clone()
    };
    let by_helm = annotations(&[]);
    let issued = annotations(&["tls.method=certManager"]);
    let by_another = annotations(&["tls.method=certManager", "tls.certManager.issuerRef.name=mine"]);
    assert!(by_helm != issued && issued != by_another, "{by_helm} {issued} {by_another}");
    assert_eq!(annotations(&["tls.method=certManager", "tls.certManager.duration=100h"]), issued);
}

/// Who only observes opens every gate at once.
#[test]
fn who_only_observes_closes_no_gates() {
    let mutation = |mode: &str| {
        let policy = render(&["policies.gangs.enabled=true", "policies.gangs.by=policy", mode]);
        object(&policy, "MutatingAdmissionPolicy", "testudo-gangs")["spec"]["mutations"].to_string()
    };
    let (decides, observes) = (mutation("config.mode=enforce"), mutation("config.mode=observe"));
    assert!(decides.contains("schedulingGates") && !observes.contains("schedulingGates"), "{observes}");
    assert!(observes.contains("schedulerName: 'testudo-scheduler'"), "{observes}");
}

/// Every rule of the chart's roles, whatever is switched on.
fn rules() -> Vec<Value> {
    let everything = render(EVERYTHING);
    let roles = everything.iter().filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole");
    let rules: Vec<Value> = roles.flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default()).collect();
    assert!(rules.len() > 20, "{rules:?}");
    rules
}

fn lists(rule: &Value, of: &str, wanted: &str) -> bool {
    rule[of].as_array().is_some_and(|values| values.iter().any(|value| value == wanted))
}

#[test]
fn nothing_is_given_with_a_wildcard_and_no_secret_is_read() {
    for rule in rules() {
        for of in ["verbs", "resources", "apiGroups", "nonResourceURLs"] {
            assert!(!lists(&rule, of, "*"), "{rule}");
        }
        assert!(!lists(&rule, "resources", "secrets"), "{rule}");
        assert!(!lists(&rule, "verbs", "impersonate") && !lists(&rule, "verbs", "escalate"), "{rule}");
    }
}

/// Whoever may write another's lease can stop what it is the lease of.
#[test]
fn the_lease_is_given_by_name_only() {
    let of_leases: Vec<Value> = rules().into_iter().filter(|rule| lists(rule, "resources", "leases")).collect();
    assert!(of_leases.len() > 2, "{of_leases:?}");
    for rule in of_leases {
        // What is to be made has no name yet.
        let makes_only = rule["verbs"] == json!(["create"]);
        assert!(makes_only || rule["resourceNames"].as_array().is_some_and(|names| !names.is_empty()), "{rule}");
    }
}
