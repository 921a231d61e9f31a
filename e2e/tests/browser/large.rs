//! Small and large fleets: both are there soon and can be read.

use anyhow::{Result, ensure};

use super::{Demo, PAINTED, shot};

/// A machine that builds and tests beside this is slow; alone, and as a release, it takes a fraction of this.
const FIRST_VIEW_MS: f64 = 8_000.0;

/// The page is light.
const LIGHT: &str = "getComputedStyle(document.body).backgroundColor === 'rgb(246, 247, 249)'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_nodes_are_drawn_and_can_be_zoomed_into() -> Result<()> {
    let demo = Demo::start("--nodes 5000 --pods 30000 --gangs 300 --filled 92 --pace 2s")?;
    let browser = demo.open("dark").await?;
    let first_view = browser.value(PAINTED).await?.as_f64().unwrap_or(f64::MAX);
    let bytes = browser
        .value("performance.getEntriesByType('resource').find((entry) => entry.name.endsWith('/fleet')).transferSize")
        .await?;
    println!("first view of 5,000 nodes after {first_view:.0} ms, {bytes} bytes");
    ensure!(first_view < FIRST_VIEW_MS, "the first view came after {first_view} ms");
    browser
        .until("the figures", "document.getElementById('figures').textContent.includes('12 racks') === false")
        .await?;
    browser.screenshot(&shot("5000-dark")?).await?;
    browser.prefer(&[("prefers-color-scheme", "light"), ("prefers-reduced-motion", "reduce")]).await?;
    browser.until("light", LIGHT).await?;
    browser.screenshot(&shot("5000-light")?).await?;
    browser.prefer(&[("prefers-color-scheme", "dark"), ("prefers-reduced-motion", "reduce")]).await?;
    browser.until("dark", &format!("!({LIGHT})")).await?;

    // A click on the map goes nearer; the crumbs say where.
    let click = "(() => { const box = document.getElementById('map').getBoundingClientRect(); \
                 for (const type of ['pointerdown', 'pointerup']) document.getElementById('map').dispatchEvent(\
                 new PointerEvent(type, {pointerId: 1, clientX: box.x + box.width / 3, clientY: box.y + box.height / 2})); })()";
    browser.value("HTMLCanvasElement.prototype.setPointerCapture = () => {}").await?;
    browser.value(click).await?;
    browser.until("crumbs", "document.querySelectorAll('#crumbs button').length > 1").await?;
    browser.screenshot(&shot("5000-zoomed-dark")?).await?;
    browser.value("document.getElementById('zoom-fit').click()").await?;
    browser.until("all again", "document.querySelectorAll('#crumbs button').length <= 1").await?;
    ensure!(browser.take_complaints().is_empty(), "{:?}", browser.take_complaints());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_nodes_are_drawn_with_their_names() -> Result<()> {
    let demo = Demo::start("--nodes 8 --filled 70 --pace 400ms")?;
    let browser = demo.open("dark").await?;
    browser.until("the time line", "document.querySelector('#plot canvas') !== null").await?;
    browser.screenshot(&shot("8-dark")?).await?;
    browser.prefer(&[("prefers-color-scheme", "light"), ("prefers-reduced-motion", "reduce")]).await?;
    browser.until("light", LIGHT).await?;
    browser.screenshot(&shot("8-light")?).await?;
    ensure!(browser.take_complaints().is_empty(), "{:?}", browser.take_complaints());
    Ok(())
}
