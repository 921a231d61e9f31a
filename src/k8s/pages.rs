//! Long lists, page by page.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::api::ListParams;

/// Objects in one answer of the API server.
const PAGE: u32 = 500;

/// Asks for the first page.
pub(super) fn first() -> ListParams {
    ListParams::default().limit(PAGE)
}

/// Asks for what follows a page; nothing after the last one.
pub(super) fn after(page: &ListMeta) -> Option<ListParams> {
    let token = page.continue_.as_ref().filter(|token| !token.is_empty())?;
    Some(first().continue_token(token))
}
