//! The page's section.

use std::net::SocketAddr;

use serde::Deserialize;

use super::TlsSection;
use crate::overview::Prices;
use crate::web::PageOptions;

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WebSection {
    /// Serve it? `true` by default.
    pub enabled: bool,
    /// Where it listens, `127.0.0.1:8890` by default.
    pub bind_address: SocketAddr,
    /// Who is asked for what: `none` by default.
    pub authentication: Authentication,
    /// With `authentication: token`, the audiences of which a token must have been made for one; none, the default, stands for
    /// that of the API server.
    pub audiences: Vec<String>,
    /// TLS; plain HTTP without.
    pub tls: Option<TlsSection>,
    /// With `authentication: none`, may `bindAddress` be one that others can reach? Everybody who can sees the page. `false`
    /// by default.
    pub allow_unauthenticated: bool,
    /// What the page calls the cluster, `cluster` by default.
    pub title: String,
    /// What nodes cost: `currency`, and `prices`, a list of `instanceType`, `perHour` and maybe `capacityType`. Without
    /// it, cost is shown in GPU-hours.
    pub prices: Option<Prices>,
}

/// Who is asked for what before the page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    /// Nobody for anything.
    #[default]
    None,
    /// Everybody for a token of the cluster, whose owner must be allowed to `get` the path `/testudo/page`.
    Token,
}

impl Default for WebSection {
    fn default() -> Self {
        let PageOptions { bind_address, allow_unauthenticated, title, prices, .. } = PageOptions::default();
        Self {
            enabled: true,
            bind_address,
            authentication: Authentication::default(),
            audiences: vec![],
            tls: None,
            allow_unauthenticated,
            title,
            prices,
        }
    }
}

impl WebSection {
    pub(super) fn validate(&self) -> Result<(), String> {
        let is_reached = self.enabled && !self.bind_address.ip().is_loopback();
        match self.authentication {
            Authentication::None if is_reached && !self.allow_unauthenticated => {
                Err("web.bindAddress can be reached from other machines, and nobody is asked who they are: use a loopback \
                     address, or set web.authentication: token, or web.allowUnauthenticated: true"
                    .into())
            }
            Authentication::Token if is_reached && self.tls.is_none() => {
                Err("with web.authentication: token, tokens come to web.bindAddress from other machines: set web.tls, so that \
                     nobody reads them on the way"
                    .into())
            }
            Authentication::Token if self.allow_unauthenticated => {
                Err("web.allowUnauthenticated and web.authentication: token contradict each other".into())
            }
            Authentication::None if !self.audiences.is_empty() => {
                Err("web.audiences are those of tokens: set web.authentication: token".into())
            }
            _ => match &self.tls {
                Some(tls) if tls.client_ca_file.is_some() => {
                    Err("web.tls.clientCAFile: the page knows people by their tokens, not by certificates; leave it out".into())
                }
                _ => Ok(()),
            },
        }
    }
}
