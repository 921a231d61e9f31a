//! Whose a token is, and whether they may: asked of the API server, as its own components do.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

/// What the API server says of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This user's, who may.
    Allowed {
        /// The user's name.
        user: String,
    },
    /// This user's, who may not.
    Forbidden {
        /// The user's name.
        user: String,
    },
    /// Nobody's, or no longer valid.
    Unknown,
}

/// Asks the API server about tokens.
#[derive(Clone)]
pub struct Reviewer {
    client: Client,
    audiences: Vec<String>,
}

impl Reviewer {
    /// Takes tokens that were made for one of these audiences; for that of the API server where there are none.
    pub fn new(client: Client, audiences: Vec<String>) -> Self {
        Self { client, audiences }
    }

    /// Whose is the token, and may they do this with the path?
    ///
    /// # Errors
    /// When the API server does not answer, or does not let us ask.
    pub async fn review(&self, token: &str, verb: &str, path: &str) -> Result<Verdict, kube::Error> {
        let Some(user) = self.authenticate(token).await? else { return Ok(Verdict::Unknown) };
        let name = user.username.clone().unwrap_or_default();
        let allowed = self.authorize(user, verb, path).await?;
        Ok(if allowed { Verdict::Allowed { user: name } } else { Verdict::Forbidden { user: name } })
    }

    async fn authenticate(&self, token: &str) -> Result<Option<UserInfo>, kube::Error> {
        let audiences = Some(self.audiences.clone()).filter(|audiences| !audiences.is_empty());
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let status = reviews.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
        // An API server that knows nothing of audiences says of none that it is right.
        let is_for_us = self.audiences.is_empty()
            || status.audiences.iter().flatten().any(|audience| self.audiences.contains(audience));
        Ok(status.user.filter(|_| status.authenticated == Some(true) && is_for_us))
    }

    async fn authorize(&self, user: UserInfo, verb: &str, path: &str) -> Result<bool, kube::Error> {
        let attributes = NonResourceAttributes { path: Some(path.to_owned()), verb: Some(verb.to_owned()) };
        let spec = SubjectAccessReviewSpec {
            user: user.username,
            groups: user.groups,
            uid: user.uid,
            extra: user.extra.map(|extra| extra.into_iter().collect::<BTreeMap<_, _>>()),
            non_resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let status = reviews.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
        Ok(status.allowed && status.denied != Some(true))
    }
}
