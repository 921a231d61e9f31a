//! Who may ask where nobody is asked for a token: browsers of this machine only.
//!
//! That it listens on loopback is not enough. A page from elsewhere can send a browser here under a name of its own
//! (DNS rebinding), so the name that was asked for has to be one of this machine.

use std::net::IpAddr;

use actix_web::HttpResponse;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::{DefaultHeaders, Next};
use actix_web::web::Data;

use super::server::Shared;

/// Nothing inline, nothing from elsewhere, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The headers of every answer.
pub fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, POLICY))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .add((HeaderName::from_static("cross-origin-resource-policy"), "same-origin"))
        .add((header::PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=()"))
}

/// Refuses requests that name another host than this machine, or that pages from elsewhere have sent.
pub async fn own_pages_only(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).ok();
    let host = request.headers().get(header::HOST).and_then(text).unwrap_or_default();
    let site = request.headers().get("sec-fetch-site").and_then(text);
    // A link from elsewhere may lead here; what it leads to is only shown to who follows it.
    let is_navigation = request.headers().get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    // Where a token is asked for, a browser that was led here has none to show.
    let takes_any_name = request.app_data::<Data<Shared>>().is_some_and(|shared| shared.options.gatekeeper.is_some());
    let refusal = if !takes_any_name && !is_this_machine(&host) {
        Some(format!("{host:?} is not a name of this machine: use its address or localhost"))
    } else if !is_navigation && site.is_some_and(|site| site != "same-origin" && site != "none") {
        Some("only the page itself may ask".to_owned())
    } else {
        None
    };
    match refusal {
        Some(text) => Ok(request.into_response(HttpResponse::Forbidden().body(format!("testudo: {text}\n")))),
        None => Ok(next.call(request).await?.map_into_boxed_body()),
    }
}

/// Is it `localhost` or an address, with or without a port? Names are what can be made to point here from elsewhere.
fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_could_give_us_are_refused() {
        for host in ["localhost", "localhost:8890", "127.0.0.1:8890", "[::1]:8890", "[::1]", "10.0.0.7:80"] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["", "evil.example", "evil.example:8890", "localhost.evil.example", "127.0.0.1.evil.example:80"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
