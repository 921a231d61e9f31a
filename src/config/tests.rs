use testudo_core::engine::AheadPolicy;

use super::*;

fn parse(body: &str) -> Result<Configuration, String> {
    let text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{body}");
    Configuration::parse(&text, Path::new("testudo.yaml")).map_err(|error| error.to_string())
}

fn error(body: &str) -> String {
    parse(body).expect_err("must be refused")
}

#[test]
fn an_empty_configuration_is_the_default() {
    assert_eq!(parse(""), Ok(Configuration::default()));
}

#[test]
fn everything_can_be_set() {
    let configuration = parse(
        "mode: observe
extender:
  bindAddress: 0.0.0.0:9443
  tls: {certFile: /tls/tls.crt, keyFile: /tls/tls.key, clientCAFile: /tls/ca.crt}
  maxBodyBytes: 16Mi
  maxNodes: 100
  requestTimeout: 500ms
  bindTimeout: 1m
metrics: {bindAddress: 0.0.0.0:8889}
web: {bindAddress: 0.0.0.0:9000, allowUnauthenticated: true, title: prod}
webhook: {bindAddress: 0.0.0.0:9444}
exclude:
  - namespaces: [kube-system]
  - podSelector:
      matchLabels: {team: batch}
      matchExpressions: [{key: tier, operator: NotIn, values: [gold]}]
policyFile: /etc/testudo/policy/policy.yaml
gangs:
  schedulerNames: [gpu-scheduler]
  bindWindow: 2m
  holdTimeout: 1h
  maxHoldTimeout: 2h
  maxExpectedMembers: 16
  preemptingNamespaces: [inference]
  regroupingNamespaces: [serving]
nominations: {minWaiting: 8}
leaderElection:
  leaderElect: false
  leaseDuration: 30s
  renewDeadline: 20s
  retryPeriod: 5s
  resourceNamespace: gpu-system
  resourceName: gpu
catalogueFile: /etc/testudo/catalogue.yaml
",
    )
    .unwrap();
    assert_eq!(configuration.mode, Mode::Observe);
    assert_eq!(configuration.extender.max_body_bytes, 16 << 20);
    assert_eq!(configuration.extender.request_timeout, Duration::from_millis(500));
    assert_eq!(configuration.extender.tls.as_ref().unwrap().client_ca_file, Some("/tls/ca.crt".into()));
    assert_eq!((configuration.web.enabled, configuration.web.title.as_str()), (true, "prod"));
    assert_eq!(configuration.policy_file, Some("/etc/testudo/policy/policy.yaml".into()));
    let policy = configuration.policy(PlacementPolicy::default());
    assert_eq!(policy.exclusions.len(), 2);
    assert_eq!(policy.exclusions[1].labels.len(), 2);
    let gangs = GangPolicy {
        schedulers: ["gpu-scheduler".to_owned()].into(),
        bind_window_ms: 120_000,
        hold_timeout_ms: 3_600_000,
        max_hold_timeout_ms: 7_200_000,
        max_expected: 16,
        preempting: ["inference".to_owned()].into(),
        regrouping: ["serving".to_owned()].into(),
        ..GangPolicy::default()
    };
    assert_eq!(policy.gangs, gangs);
    assert_eq!(policy.ahead, AheadPolicy { min_waiting: 8, ..AheadPolicy::default() });
}

#[test]
fn no_queue_is_long_enough_where_no_nodes_are_to_be_nominated() {
    let ahead = |body| parse(body).unwrap().policy(PlacementPolicy::default()).ahead;
    assert_eq!(ahead("nominations: {enabled: false, minWaiting: 8}").min_waiting, usize::MAX);
    assert_eq!(ahead(""), AheadPolicy::default());
}

#[test]
fn what_is_left_out_of_a_section_has_its_default() {
    let gangs = |configuration: Configuration| configuration.policy(PlacementPolicy::default()).gangs;
    let default = gangs(Configuration::default());
    let set = gangs(parse("gangs: {bindWindow: 90s}\n").unwrap());
    assert_eq!(set, GangPolicy { bind_window_ms: 90_000, ..default });
}

#[test]
fn mistakes_are_named_with_their_place() {
    let unknown = error("extender:\n  bindAdress: 0.0.0.0:1\n");
    assert!(unknown.starts_with("testudo.yaml:4:3:"), "{unknown}");
    assert!(unknown.contains("bindAdress") && unknown.contains("bindAddress"), "{unknown}");
    let unit = error("extender:\n  requestTimeout: 5 parsecs\n");
    assert!(unit.starts_with("testudo.yaml:4:") && unit.contains("no duration such as"), "{unit}");
    let bare = error("extender:\n  requestTimeout: 5\n");
    assert!(bare.contains("no duration such as"), "{bare}");
    assert!(error("mode: perhaps\n").contains("perhaps"));
    assert!(error("extender: {bindAddress: localhost}\n").contains("testudo.yaml:3:"));
}

#[test]
fn impossible_combinations_are_refused() {
    assert!(error("extender: {requestTimeout: 40s}\n").contains("one httpTimeout for both"));
    assert!(error("extender: {maxNodes: 0}\n").contains("must be above 0"));
    assert!(error("metrics: {bindAddress: 127.0.0.1:8888}\n").contains("are the same"));
    assert!(error("webhook: {bindAddress: 0.0.0.0:9443}\n").contains("needs extender.tls"));
    assert!(error("gangs: {bindWindow: 25s}\n").contains("must be longer than extender.bindTimeout"));
    assert!(error("exclude: [{}]\n").contains("exclude[0]: names neither"));
    let values = "exclude: [{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}]\n";
    assert!(error(values).contains("podSelector on a: Exists takes no values"));
}

#[test]
fn another_version_is_refused() {
    let text = "apiVersion: config.testudo.dev/v2\nkind: TestudoConfiguration\n";
    let error = Configuration::parse(text, Path::new("f")).unwrap_err().to_string();
    assert_eq!(
        error,
        "f: config.testudo.dev/v2 TestudoConfiguration is not known to this version of testudo; \
         use config.testudo.dev/v1alpha1 TestudoConfiguration"
    );
    let bare = Configuration::parse("mode: observe", Path::new("f")).unwrap_err().to_string();
    assert!(bare.contains("apiVersion"), "{bare}");
}

#[test]
fn the_shipped_configuration_is_the_default_where_it_says_so() {
    let manifest = Path::new("deploy/manifests/config.yaml");
    let map: serde_json::Value = serde_saphyr::from_str(include_str!("../../deploy/manifests/config.yaml")).unwrap();
    let shipped = Configuration::parse(map["data"]["testudo.yaml"].as_str().unwrap(), manifest).unwrap();
    assert!(shipped.extender.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some()), "mutual TLS is shipped");
    assert_eq!(shipped.exclude.len(), 2);
    let defaults = ExtenderSection::default();
    let (bind_address, tls) = (shipped.extender.bind_address, shipped.extender.tls.clone());
    assert_eq!(shipped.extender, ExtenderSection { bind_address, tls, ..defaults });
    assert_eq!(shipped.mode, Mode::default());
}

#[test]
fn a_leader_has_stopped_before_another_may_begin() {
    let refused = |fields: &str| error(&format!("leaderElection: {{{fields}}}\n"));
    assert!(refused("leaseDuration: 10s").contains("renewDeadline must be shorter"), "it is 10s by default");
    assert!(refused("leaseDuration: 15500ms").contains("whole seconds"));
    assert!(refused("leaseDuration: 0s").contains("whole seconds"));
    assert!(refused("retryPeriod: 6s").contains("half of leaderElection.renewDeadline"));
    assert!(refused("retryPeriod: 0s").contains("above 0s"));
    assert!(refused("resourceName: ''").contains("must not be empty"));
    assert!(refused("leaseduration: 1s").contains("unknown field"));
}

#[test]
fn a_page_without_authentication_is_not_shown_to_others_by_mistake() {
    let refused = error("web: {bindAddress: 0.0.0.0:8890}\n");
    assert!(refused.contains("web.allowUnauthenticated"), "{refused}");
    assert!(parse("web: {bindAddress: 0.0.0.0:8890, enabled: false}\n").is_ok());
    assert!(parse("web: {bindAddress: '[::1]:8890'}\n").is_ok());
}

#[test]
fn tokens_do_not_travel_in_the_clear() {
    let refused = error("web: {bindAddress: 0.0.0.0:8890, authentication: token}\n");
    assert!(refused.contains("web.tls"), "{refused}");
    let tls = "tls: {certFile: a, keyFile: b}";
    assert!(parse(&format!("web: {{bindAddress: 0.0.0.0:8890, authentication: token, {tls}}}\n")).is_ok());
    assert!(parse("web: {authentication: token}\n").is_ok(), "on loopback nobody listens in between");
    for (web, word) in [
        ("{authentication: token, allowUnauthenticated: true}", "contradict"),
        ("{audiences: [testudo]}", "authentication: token"),
        ("{authentication: token, tls: {certFile: a, keyFile: b, clientCAFile: c}}", "clientCAFile"),
        ("{authentication: basic}", "basic"),
    ] {
        let refused = error(&format!("web: {web}\n"));
        assert!(refused.contains(word), "{web}: {refused}");
    }
}
