//! What the page keeps of the past while it stays open.

use anyhow::{Result, ensure};

use super::Demo;

/// A page that has been open for two days has a day of them, as one has that is opened then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seconds_become_minutes_and_end_after_a_day() -> Result<()> {
    let demo = Demo::start("--nodes 4 --pods 8")?;
    let browser = demo.open("light").await?;
    let two_days = "import('/js/history.js').then(({ keep }) => {
        const kept = [];
        for (let at = 0; at < 2 * 86400; at += 1) keep(kept, [at, 0, 0, 0, 0]);
        return kept.map(([at]) => at);
    })";
    let kept: Vec<u64> = serde_json::from_value(browser.value(two_days).await?)?;
    let last = kept.len() - 1;
    ensure!(kept[last] == 2 * 86400 - 1 && kept.is_sorted(), "{kept:?}");
    ensure!(kept[last] - kept[last - 899] == 899, "a quarter of an hour by the second: {kept:?}");
    ensure!(kept[1] - kept[0] == 60, "what is older by the minute: {kept:?}");
    let hours = (kept[last] - kept[0]) / 3600;
    ensure!((23..=24).contains(&hours) && kept.len() <= 900 + 1440, "{hours} hours in {} samples", kept.len());
    ensure!(browser.take_complaints().is_empty(), "the page complains: {:?}", browser.take_complaints());
    Ok(())
}
