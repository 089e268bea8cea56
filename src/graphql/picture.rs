//! Pictures that are kept.

use async_graphql::{Context, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::Result;
use scv_service::{KeptPicture, Library};

/// A picture as PNG, kept under the hash of its bytes: an address always shows the same.
#[derive(Debug, async_graphql::Description)]
pub struct Picture(pub KeptPicture);

#[Object(use_type_description)]
impl Picture {
    /// Address on this server.
    async fn url(&self) -> String {
        format!("/images/{}.png", self.0.hash)
    }

    /// Pixels from left to right.
    async fn width(&self) -> u32 {
        self.0.width
    }

    /// Pixels from top to bottom.
    async fn height(&self) -> u32 {
        self.0.height
    }

    /// The picture itself, for pages that cannot ask this server.
    async fn data_url(&self, ctx: &Context<'_>) -> Result<String> {
        let png = ctx.data_unchecked::<Library>().kept_picture(&self.0.hash).await?;
        Ok(format!("data:image/png;base64,{}", STANDARD.encode(png)))
    }
}
