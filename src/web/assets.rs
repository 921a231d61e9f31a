//! The files of the page, in the binary: tagged by what they hold, compressed once.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::LazyLock;

use actix_web::web::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "src/web/assets/"]
struct Files;

/// A file of the page.
#[derive(Debug)]
pub struct Asset {
    /// `text/javascript; charset=utf-8`.
    pub mime: &'static str,
    /// Names what it holds, quoted as in the header.
    pub etag: String,
    /// As it is.
    pub plain: Bytes,
    /// Compressed with gzip; none where that gains nothing.
    pub gzip: Option<Bytes>,
}

/// All files by path.
static ASSETS: LazyLock<BTreeMap<String, Asset>> = LazyLock::new(|| {
    let file = |path: std::borrow::Cow<'static, str>| {
        let file = Files::get(&path)?;
        let mime = mime(&path)?;
        let tag: String = file.metadata.sha256_hash().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let gzip = (mime != FONT).then(|| compressed(&file.data));
        let asset = Asset { mime, etag: format!("\"{tag}\""), plain: file.data.into_owned().into(), gzip };
        Some((path.into_owned(), asset))
    };
    Files::iter().filter_map(file).collect()
});

/// The file at a path.
pub fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.get(path)
}

const FONT: &str = "font/woff2";

fn mime(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => FONT,
        "LICENSE" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

fn compressed(data: &[u8]) -> Bytes {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let written = gzip.write_all(data).and_then(|()| gzip.finish());
    written.expect("memory can be written").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_served() {
        let paths: Vec<String> = Files::iter().map(|path| path.into_owned()).collect();
        assert!(paths.iter().any(|path| path == "index.html"));
        for path in paths {
            assert!(asset(&path).is_some(), "{path}: its type is not known");
        }
        assert!(asset("../mod.rs").is_none());
    }

    /// What the page's policy forbids would only show in a browser.
    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        let ours = ASSETS.iter().filter(|(path, _)| !path.starts_with("vendor/") && !path.ends_with("LICENSE"));
        for (path, asset) in ours.filter(|(_, asset)| asset.mime != FONT) {
            let text = std::str::from_utf8(&asset.plain).expect("text");
            for forbidden in ["style=\"", "onclick=", "<script>", "<style", "https://", "innerHTML", "eval("] {
                assert!(!text.contains(forbidden), "{path}: {forbidden}");
            }
        }
    }
}
