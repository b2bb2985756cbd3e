//! Style and modules, from the binary. Their address carries a fingerprint of their
//! contents, so that browsers may keep them for ever and never show an old one.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
}

const ASSETS: [Asset; 17] = [
    Asset {
        name: "portal.css",
        media_type: "text/css; charset=utf-8",
        content: STYLE,
    },
    Asset {
        name: "copy.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/copy.js"),
    },
    Asset {
        name: "leave.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/leave.js"),
    },
    Asset {
        name: "enter.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/enter.js"),
    },
    Asset {
        name: "keys.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/keys.js"),
    },
    Asset {
        name: "zone.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/zone.js"),
    },
    Asset {
        name: "panel.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/panel.js"),
    },
    Asset {
        name: "tail.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/tail.js"),
    },
    Asset {
        name: "palette.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/palette.js"),
    },
    Asset {
        name: "arrive.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/arrive.js"),
    },
    Asset {
        name: "query.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/query.js"),
    },
    Asset {
        name: "facets.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/facets.js"),
    },
    Asset {
        name: "histogram.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/histogram.js"),
    },
    Asset {
        name: "fold.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/fold.js"),
    },
    Asset {
        name: "pages.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/pages.js"),
    },
    Asset {
        name: "resize.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_str!("assets/resize.js"),
    },
    Asset {
        name: "icon.svg",
        media_type: "image/svg+xml",
        content: include_str!("assets/icon.svg"),
    },
];

/// The style sheet. The dark theme's colors are for who chose it, and for whose system has it: once in the
/// source, and, since no older browser knows a way to say both in one rule, twice in the sheet.
const STYLE: &str = concat!(
    include_str!("assets/light.css"),
    "@media (prefers-color-scheme: dark) { :root:not([data-theme=\"light\"]) {\n",
    include_str!("assets/dark.css"),
    "} }\n:root[data-theme=\"dark\"] {\n",
    include_str!("assets/dark.css"),
    "}\n",
    include_str!("assets/portal.css"),
);

const VERSION: u64 = fingerprint();

/// Where the assets of this build are.
pub(super) fn base() -> String {
    format!("/assets/{VERSION:016x}")
}

/// A browser fetches an asset of this build.
pub(super) async fn file(Path((version, name)): Path<(String, String)>) -> Response {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    match asset {
        Some(asset) if version == format!("{VERSION:016x}") => (
            [
                (header::CONTENT_TYPE, asset.media_type),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            asset.content,
        )
            .into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// FNV-1a over all contents: tells builds apart, protects nothing.
const fn fingerprint() -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    while index < ASSETS.len() {
        let bytes = ASSETS[index].content.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        index += 1;
    }
    hash
}
