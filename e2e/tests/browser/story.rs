//! What somebody does who looks at a fleet: why does this gang wait, would mine fit, where is that node?

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testudo_e2e::browser::Browser;
use testudo_e2e::wait::{Look, PATIENCE, until};

use super::{Demo, shot};

const DEMO: &str = "--pace 120ms";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gang_waits_with_its_reason_and_starts_and_a_manifest_is_tried() -> Result<()> {
    let mut demo = Demo::start(DEMO)?;
    let browser = demo.open("dark").await?;
    browser.until("a live page", "document.getElementById('live').classList.contains('on')").await?;

    gang_waits(&browser).await?;
    gang_starts(&browser).await?;
    what_if(&browser).await?;
    find(&browser).await?;
    read_without_looking(&browser).await?;
    looks(&browser).await?;
    ensure!(browser.take_complaints().is_empty(), "the page complains: {:?}", browser.take_complaints());

    outlives_its_server(&browser, &mut demo).await?;
    let origins: Vec<String> = browser.origins().into_iter().collect();
    ensure!(origins == [demo.url()], "the page asks elsewhere: {origins:?}");
    Ok(())
}

/// A gang waits; a click on it shows why, in the engine's words.
async fn gang_waits(browser: &Browser) -> Result<()> {
    let row = "[...document.querySelectorAll('[data-key^=\"gang \"]')].find((row) => row.querySelector('.chip').textContent === 'waits')";
    let found = browser
        .until("a gang that waits", &format!("(() => {{ const row = {row}; return row && [row.dataset.key, row.querySelector('p').textContent]; }})()"))
        .await?;
    let key = found[0].as_str().context("a key")?.to_owned();
    ensure!(!found[1].as_str().unwrap_or_default().is_empty(), "{key} waits without a reason");
    browser.screenshot(&shot("30-dark")?).await?;
    browser.click(&format!("[data-key=\"{key}\"]")).await?;
    let why = browser.until("the reason", "document.getElementById('gang-why')?.textContent ?? ''").await?;
    let (namespace, name) = key.trim_start_matches("gang ").split_once('/').context("namespace/name")?;
    let of_engine = browser
        .value(&format!("fetch('/api/v1alpha1/gangs/{namespace}/{name}').then((answer) => answer.json()).then((gangs) => gangs[0].why ?? gangs[0].stage)"))
        .await?;
    // Numbers may have changed between the two.
    let words = |text: &Value| text.as_str().unwrap_or_default().replace(|c: char| c.is_ascii_digit(), "");
    ensure!(words(&why) == words(&of_engine), "the page says {why}, the engine {of_engine}");
    let room = "document.querySelector('.answer')?.textContent ?? ''";
    let room = browser.until("what would make room", &format!("(({room}).includes('As of') && ({room}))")).await?;
    let says = |words: &str| room.as_str().is_some_and(|text| text.contains(words));
    ensure!(says("would fit if") || says("in its way"), "{room}");
    browser.screenshot(&shot("gang-dark")?).await?;
    Ok(())
}

/// One of the gangs that were seen waiting runs.
async fn gang_starts(browser: &Browser) -> Result<()> {
    browser.value("location.hash = '#/'").await?;
    let waiting = "[...document.querySelectorAll('[data-key^=\"gang \"]')].map((row) => row.dataset.key.slice(5))";
    let mut seen: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
    let started = until("a gang that waited to start", 2 * PATIENCE, async || {
        let now: Vec<String> = serde_json::from_value(browser.value(waiting).await?)?;
        let gone: Vec<String> = seen.iter().filter(|gang| !now.contains(gang)).cloned().collect();
        seen.extend(now);
        for gang in gone {
            let stage = browser
                .value(&format!("fetch('/api/v1alpha1/gangs/{gang}').then((answer) => answer.ok ? answer.json() : []).then((gangs) => gangs[0]?.stage ?? '')"))
                .await?;
            if stage == "runs" {
                return Ok(Look::Done(gang));
            }
            seen.remove(&gang);
        }
        Ok(Look::NotYet(format!("{seen:?} wait")))
    })
    .await?;
    browser.value(&format!("location.hash = '#/gang/{started}'")).await?;
    browser
        .until(
            "its members on nodes",
            "[...document.querySelectorAll('.detail td')].some((cell) => cell.textContent === 'bound')",
        )
        .await?;
    Ok(())
}

/// A manifest is tried: one that fits, one that cannot, one that is none.
async fn what_if(browser: &Browser) -> Result<()> {
    browser.click("a[href='#/what-if']").await?;
    browser.until("the box", "document.getElementById('manifest') !== null").await?;
    let tried = async |manifest: &str, expected: &str| -> Result<()> {
        browser.value(&format!("(() => {{ const box = document.getElementById('manifest'); box.value = {manifest:?}; box.dispatchEvent(new Event('input')); document.getElementById('what-if-result').replaceChildren(); }})()")).await?;
        browser.click("#try").await?;
        let answer = browser.until("an answer", "document.getElementById('what-if-result').textContent").await?;
        ensure!(answer.as_str().is_some_and(|text| text.contains(expected)), "{expected:?} is not in {answer}");
        Ok(())
    };
    let pod = |resource: &str, count: u32| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: mine, namespace: team}}\nspec:\n  tolerations: [{{operator: Exists}}]\n  \
             containers: [{{name: c, resources: {{limits: {{{resource}: {count}}}}}}}]\n"
        )
    };
    tried(&pod("nvidia.com/gpu.shared", 1), "1 pod, placed").await?;
    tried(&pod("nvidia.com/gpu", 64), "more than the node can give").await?;
    browser.screenshot(&shot("what-if-dark")?).await?;
    tried("kind: [", "manifest:").await?;
    // Nothing has come of it.
    let pods = browser
        .value("fetch('/api/v1alpha1/search?q=mine').then((answer) => answer.json()).then((found) => found.filter((one) => one.kind === 'pod').length)")
        .await?;
    ensure!(pods == 0, "a pod that was only tried is there");
    // It has answered with 422: that is not the page's mistake.
    browser.take_complaints();
    Ok(())
}

/// Search by keys alone.
async fn find(browser: &Browser) -> Result<()> {
    browser.value("document.activeElement.blur()").await?;
    browser.press("/").await?;
    browser.until("focus in the search", "document.activeElement.id === 'query'").await?;
    browser.write("p4d-24xlarge-b").await?;
    browser.until("results", "document.querySelectorAll('#found [role=option]').length > 1").await?;
    browser.press("ArrowDown").await?;
    browser.press("Enter").await?;
    browser.until("a node", "location.hash.startsWith('#/node/p4d-24xlarge-b')").await?;
    browser.until("its picture", "document.querySelector('.node-picture rect') !== null").await?;
    browser.until("focus on its title", "document.activeElement.id === 'detail-title'").await?;
    browser.screenshot(&shot("node-dark")?).await?;
    Ok(())
}

/// Everything has a name, the map can be walked by keys, and there is a table for who does not see it.
async fn read_without_looking(browser: &Browser) -> Result<()> {
    let told = browser.focusable().await?;
    let nameless: Vec<_> = told.iter().filter(|(role, name)| name.is_empty() && role != "RootWebArea").collect();
    ensure!(told.len() > 20 && nameless.is_empty(), "without a name: {nameless:?}");
    walk_by_tab(browser).await?;
    let nameless = browser
        .value(
            "[...document.querySelectorAll('a, button, input, textarea, [role]')].filter((element) => element.checkVisibility() && \
             !(element.ariaLabel || element.textContent.trim() || element.labels?.length || element.getAttribute('aria-labelledby') || \
             element.getAttribute('role') === 'status' || element.ariaHidden)).map((element) => element.outerHTML.slice(0, 120))",
        )
        .await?;
    ensure!(nameless == serde_json::json!([]), "without a name: {nameless}");
    browser.value("document.getElementById('map').focus()").await?;
    browser.press("ArrowRight").await?;
    browser.until("what is said of a node", "/in use/.test(document.getElementById('said').textContent)").await?;
    browser.click("input[value=table]").await?;
    browser.until("rows", "document.querySelectorAll('#table summary').length > 2").await?;
    browser.value("document.querySelectorAll('#table summary').forEach((row) => row.click())").await?;
    browser.until("racks", "document.querySelectorAll('#table .rack').length > 3").await?;
    browser.screenshot(&shot("table-dark")?).await?;
    browser.click("input[value=map]").await?;
    Ok(())
}

/// Tab goes to everything that can be used, in the order in which it stands.
async fn walk_by_tab(browser: &Browser) -> Result<()> {
    // Rows come and go meanwhile: one that is gone is before and after nothing.
    let stop = "(() => { const own = document.activeElement; if (own === document.body) return null; const last = globalThis.lastStop; \
                globalThis.lastStop = own; const goesBack = last?.isConnected && \
                !(last.compareDocumentPosition(own) & Node.DOCUMENT_POSITION_FOLLOWING) && last !== own; \
                return [own.id || own.name || own.className || own.tagName, goesBack === true]; })()";
    browser.value("(document.activeElement.blur(), globalThis.lastStop = undefined, scrollTo(0, 0))").await?;
    let mut stops: Vec<String> = vec![];
    for _ in 0..60 {
        browser.press("Tab").await?;
        let at = browser.value(stop).await?;
        let Some(name) = at[0].as_str() else { break };
        ensure!(at[1] == false, "Tab goes back from {stops:?} to {name}");
        stops.push(name.to_owned());
    }
    for wanted in ["skip", "query", "theme", "colour", "view", "zoom-in", "map", "range"] {
        ensure!(stops.iter().any(|stop| stop == wanted), "Tab does not reach {wanted}: {stops:?}");
    }
    Ok(())
}

/// The other ways to colour, the other theme, and text that can be read in both.
async fn looks(browser: &Browser) -> Result<()> {
    browser.value("location.hash = '#/'").await?;
    for mode in ["namespace", "waste", "age"] {
        browser.click(&format!("input[value={mode}]")).await?;
        browser.screenshot(&shot(&format!("30-{mode}-dark"))?).await?;
    }
    browser.click("input[value=workload]").await?;
    for theme in ["dark", "light"] {
        let too_faint = browser.value(FAINT_TEXT).await?;
        ensure!(too_faint == serde_json::json!([]), "{theme}: too little contrast: {too_faint}");
        browser.click("#theme").await?;
        browser.until("the other theme", "document.documentElement.dataset.theme !== undefined").await?;
        browser.screenshot(&shot(if theme == "dark" { "30-light" } else { "30-dark-again" })?).await?;
    }
    Ok(())
}

/// Colours of text with less contrast to what they stand on than WCAG's AA asks for: 4.5.
const FAINT_TEXT: &str = "(() => {
    const probe = document.body.appendChild(document.createElement('i'));
    const light = (name) => {
        probe.style.setProperty('color', 'var(--' + name + ')');
        const parts = getComputedStyle(probe).color.match(/[0-9.]+/g).map((part) => part / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
    const pairs = ['text', 'muted', 'faint', 'accent', 'good', 'warn', 'bad'].flatMap((text) => ['bg', 'surface', 'raised'].map((on) => [text, on]));
    return pairs.filter(([text, on]) => contrast(text, on) < 4.5).map(([text, on]) => `${text} on ${on}: ${contrast(text, on).toFixed(2)}`);
})()";

/// The server is killed and another one comes: the page finds it again and shows what is so there.
async fn outlives_its_server(browser: &Browser, demo: &mut Demo) -> Result<()> {
    demo.kill()?;
    browser
        .until("that the server is missed", "document.getElementById('live').textContent.includes('reconnecting')")
        .await?;
    demo.run("--nodes 12 --pace 200ms")?;
    browser.until("a live page", "document.getElementById('live').classList.contains('on')").await?;
    browser
        .until("the other fleet", "document.getElementById('figures').textContent.includes('Nodes with devices11')")
        .await?;
    let strange: Vec<String> = browser
        .take_complaints()
        .into_iter()
        .filter(|text| !text.contains("ERR_CONNECTION_REFUSED") && !text.contains("ERR_INCOMPLETE_CHUNKED"))
        .collect();
    ensure!(strange.is_empty(), "the page complains: {strange:?}");
    Ok(())
}
