//! Pages as people see them: in Chromium, light and dark, wide and narrow. The pictures are kept under
//! `target/portal`, to be looked at.

use std::path::Path;

use crate::support::chromium;

use super::{ENVIRONMENT, filled, get, values};

#[tokio::test(flavor = "multi_thread")]
async fn main_pages_are_drawn_in_both_widths() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled(directory.path()).await;
    let lent = browser.lend().await;
    let address = lent.address();
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/portal");
    std::fs::create_dir_all(&pictures).expect("a folder for pictures");
    let list = format!("{ENVIRONMENT}/observability");
    let rows = get(&address, &list).await;
    let opened = values(&rows.body, "class=\"opens\" href=\"").remove(3);
    let sessions = format!("{list}?type=session");
    let agents = format!("{ENVIRONMENT}/inventory/agents");
    let overview = format!("{ENVIRONMENT}/");
    let tools = format!("{ENVIRONMENT}/inventory/tools");
    let bash = format!("{ENVIRONMENT}/inventory/tools/Bash");
    let servers = format!("{ENVIRONMENT}/inventory/mcp-tools");
    let machines = format!("{ENVIRONMENT}/inventory/machines");
    for (name, page) in [
        ("overview", &overview),
        ("tools", &tools),
        ("tool", &bash),
        ("mcp-tools", &servers),
        ("machines", &machines),
        ("events", &list),
        ("record", &opened),
        ("sessions", &sessions),
        ("agents", &agents),
    ] {
        let html = get(&address, page).await.body;
        assert!(html.len() < 200_000, "{name} has {} bytes", html.len());
        for (size, width, height) in [("wide", 1440, 1000), ("narrow", 390, 1400)] {
            let picture = pictures.join(format!("{name}-{size}.png"));
            chromium::screenshot(&format!("http://{address}{page}"), &picture, width, height).await;
        }
    }
    central.stop().await;
}

/// All scripts together are small, and none is needed for what is first drawn.
#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_few_and_small() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled(directory.path()).await;
    let lent = browser.lend().await;
    let address = lent.address();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/central/portal/assets");
    let mut bytes = 0;
    for file in std::fs::read_dir(folder).expect("the assets") {
        let path = file.expect("an asset").path();
        if path.extension().is_some_and(|ending| ending == "js") {
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            assert!(text.lines().count() < 150, "{}", path.display());
            bytes += text.len();
        }
    }
    assert!(bytes < 40_000, "{bytes} bytes of scripts");
    let page = get(&address, &format!("{ENVIRONMENT}/observability"))
        .await
        .body;
    assert!(
        !values(&page, "<script type=\"")
            .iter()
            .any(|kind| kind != "module")
    );
    central.stop().await;
}
