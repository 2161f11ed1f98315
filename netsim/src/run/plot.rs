//! Completion over time as an SVG: what share of the nodes was complete when, a line for each seed, and the bound.

use std::fmt::Write as _;

use super::report::{Report, Run};
use super::units;

/// Width of the picture, in pixels.
const WIDTH: f64 = 720.0;
/// Height of the picture.
const HEIGHT: f64 = 420.0;
/// The field in it: left, right, top, bottom edge.
const FIELD: (f64, f64, f64, f64) = (64.0, 696.0, 72.0, 364.0);
/// Lines of the grid that stand upright, at most.
const TICKS: f64 = 8.0;

/// Draws the runs of a scenario; `None` if nothing in it completes at a time.
pub(crate) fn svg(report: &Report) -> Option<String> {
    let last = report.runs.iter().filter_map(|run| run.played.completions.last()).copied().reduce(f64::max)?;
    let end = last.max(report.bound().unwrap_or(0.0)).max(1e-6) * 1.05;
    let (left, right, top, bottom) = FIELD;
    let x = |seconds: f64| left + (right - left) * seconds / end;
    let y = |share: f64| bottom - (bottom - top) * share;
    let mut out = String::new();
    let mut add = |line: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(line);
        out.push('\n');
    };
    add(format_args!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13" fill="#222222">"##
    ));
    add(format_args!(r##"<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>"##));
    add(format_args!(
        r#"<text x="{left}" y="28" font-size="17" font-weight="bold">{}</text>"#,
        escape(&report.scenario.name)
    ));
    add(format_args!(
        r##"<text x="{left}" y="50" fill="#555555">{}</text>"##,
        escape(&shortened(&report.scenario.description))
    ));
    for quarter in 0..=4u8 {
        let share = f64::from(quarter) / 4.0;
        let y = y(share);
        add(format_args!(r##"<path d="M{left} {y:.1}H{right}" stroke="#dddddd"/>"##));
        add(format_args!(
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{:.0} %</text>"#,
            left - 8.0,
            y + 4.0,
            share * 100.0
        ));
    }
    let step = step(end);
    let mut at = 0.0;
    while at <= end {
        let x = x(at);
        add(format_args!(r##"<path d="M{x:.1} {top}V{bottom}" stroke="#eeeeee"/>"##));
        add(format_args!(
            r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
            bottom + 20.0,
            tick(at, step)
        ));
        at += step;
    }
    let nodes = report.runs.iter().map(|run| run.played.counted).max().unwrap_or_default();
    add(format_args!(
        r##"<text x="{:.1}" y="{:.1}" text-anchor="middle" fill="#555555">virtual time; share of {nodes} nodes that are complete, a line for each seed</text>"##,
        (left + right) / 2.0,
        bottom + 44.0
    ));
    for run in &report.runs {
        add(format_args!(
            r##"<path class="run" d="{}" fill="none" stroke="#1f5fa8" stroke-width="1.6" stroke-opacity="0.6"/>"##,
            stairs(run, x, y, end)
        ));
    }
    if let Some(bound) = report.bound() {
        let x = x(bound);
        add(format_args!(
            r##"<path class="bound" d="M{x:.1} {top}V{bottom}" stroke="#b3420e" stroke-width="1.6" stroke-dasharray="6 4"/>"##
        ));
        let (anchor, gap) = if x > f64::midpoint(left, right) { ("end", -6.0) } else { ("start", 6.0) };
        add(format_args!(
            r##"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}" fill="#b3420e">bound {}</text>"##,
            x + gap,
            top + 16.0,
            units::seconds(bound)
        ));
    }
    add(format_args!("</svg>"));
    Some(out)
}

/// The steps of one run: up by one node at each completion.
#[allow(clippy::cast_precision_loss, reason = "a few thousand nodes")]
fn stairs(run: &Run, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64, end: f64) -> String {
    let all = run.played.counted.max(1) as f64;
    let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
    for (done, at) in run.played.completions.iter().enumerate() {
        let _ = write!(path, "H{:.1}V{:.1}", x(*at), y((done + 1) as f64 / all));
    }
    let _ = write!(path, "H{:.1}", x(end));
    path
}

/// The distance of the upright lines: 1, 2 or 5 times a power of ten.
fn step(end: f64) -> f64 {
    let rough = end / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|step| *step >= rough).unwrap_or(rough)
}

fn tick(at: f64, step: f64) -> String {
    match step {
        small if small < 1e-3 => format!("{:.1} ms", at * 1e3),
        small if small < 0.1 => format!("{:.0} ms", at * 1e3),
        some if some < 1.0 => format!("{at:.1} s"),
        some if some < 60.0 => format!("{at:.0} s"),
        _ => format!("{:.1} min", at / 60.0),
    }
}

/// As much of a description as fits into one line.
fn shortened(text: &str) -> String {
    const FITS: usize = 88;
    if text.chars().count() <= FITS {
        return text.to_owned();
    }
    let cut: String = text.chars().take(FITS - 1).collect();
    format!("{}…", cut.trim_end())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::report::Played;
    use crate::run::scenario;

    fn report(completions: &[&[f64]], bound: Option<f64>) -> Report {
        let text = "description = \"A < B & \\\"C\\\"\"\nseeds = [1]\n[twins]\nnodes = 5\nlatency = \"1ms\"\nwatch = \"1min\"\n[limits]\n";
        let runs = (1..)
            .zip(completions)
            .map(|(seed, at)| {
                let played = Played { completions: at.to_vec(), counted: 4, bound, ..Played::default() };
                Run { seed, played }
            })
            .collect();
        Report::new(scenario::read("two", "two.toml", text).unwrap(), runs)
    }

    /// Every element that is opened is closed, in the right order, and nothing stands unescaped.
    fn well_formed(svg: &str) -> Result<(), String> {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = svg;
        while let Some(at) = rest.find('<') {
            let (text, tag) = rest.split_at(at);
            let end = tag.find('>').ok_or("a tag does not end")?;
            let inside = &tag[1..end];
            let loose = text.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "").replace("&quot;", "");
            if loose.contains(['&', '>']) {
                return Err(format!("`{text}` is not escaped"));
            }
            if inside.matches('"').count() % 2 != 0 || inside.contains('<') {
                return Err(format!("`{inside}` has a quote too many"));
            }
            let name = inside.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
            if inside.starts_with('/') {
                (open.pop() == Some(name)).then_some(()).ok_or(format!("{name} is closed and not open"))?;
            } else if !inside.ends_with('/') {
                open.push(name);
            }
            rest = &tag[end + 1..];
        }
        if open.is_empty() { Ok(()) } else { Err(format!("{open:?} stay open")) }
    }

    #[test]
    fn the_picture_is_well_formed() {
        for (end, bound) in [(1e-4, None), (0.9, Some(0.5)), (12.0, Some(40.0)), (700.0, Some(1.0)), (1e5, None)] {
            let svg = svg(&report(&[&[end / 2.0, end], &[end]], bound)).unwrap();
            well_formed(&svg).unwrap();
            assert_eq!(svg.matches("class=\"run\"").count(), 2);
            assert_eq!(svg.matches("class=\"bound\"").count(), usize::from(bound.is_some()));
            assert!(
                svg.contains("A &lt; B &amp; &quot;C&quot;") && !svg.contains("NaN") && !svg.contains("inf"),
                "{svg}"
            );
        }
    }

    #[test]
    fn the_check_of_the_form_sees_what_is_not() {
        for bad in ["<a>", "<a></b>", "<a", "a & b<c/>", "<a b=\"c/>"] {
            assert!(well_formed(bad).is_err(), "{bad}");
        }
        well_formed("<a b=\"c\"><d/>e &amp; f</a>").unwrap();
    }

    #[test]
    fn nothing_to_draw_is_no_picture() {
        assert_eq!(svg(&report(&[&[], &[]], Some(1.0))), None);
    }

    #[test]
    fn ticks_stand_at_round_numbers() {
        for (end, apart) in [(8.0, 1.0), (9.0, 2.0), (0.03, 0.005), (1_000.0, 200.0)] {
            assert!((step(end) - apart).abs() < 1e-9, "{end}: {}", step(end));
        }
    }
}
