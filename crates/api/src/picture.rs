//! Stored pictures.

use async_graphql::{Context, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Result;
use scv_service::{Library, StoredPicture};

/// A PNG image. Its URL contains the hash of its bytes, so the same URL always returns the same picture.
#[derive(Debug, async_graphql::Description)]
pub struct Picture(pub StoredPicture);

#[Object(use_type_description)]
impl Picture {
    /// URL path on this server.
    async fn url(&self) -> String {
        format!("/images/{}.png", self.0.hash)
    }

    /// Width in pixels.
    async fn width(&self) -> u32 {
        self.0.width
    }

    /// Height in pixels.
    async fn height(&self) -> u32 {
        self.0.height
    }

    /// The picture as a `data:` URL, for pages that cannot load it from this server.
    async fn data_url(&self, ctx: &Context<'_>) -> Result<String> {
        let png = ctx.data_unchecked::<Library>().pictures().get(&self.0.hash).await?;
        Ok(format!("data:image/png;base64,{}", STANDARD.encode(png)))
    }
}
