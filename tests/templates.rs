//! What the portal's templates and style must never hold, and that both themes can be read.

use std::fs;
use std::path::{Path, PathBuf};

const PORTAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/central/portal");

fn files(directory: &str, extension: &str) -> Vec<(PathBuf, String)> {
    let directory = Path::new(PORTAL).join(directory);
    let files: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    assert!(
        !files.is_empty(),
        "no .{extension} in {}",
        directory.display()
    );
    files
}

/// The opening tags of a template, without what askama puts into them.
fn tags(template: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let close = match rest[start..].chars().nth(1) {
            Some('{') => "}}",
            Some('%') => "%}",
            _ => {
                plain.push_str(&rest[..=start]);
                rest = &rest[start + 1..];
                continue;
            }
        };
        plain.push_str(&rest[..start]);
        plain.push_str(if close == "}}" { "value" } else { " " });
        let end = rest[start..].find(close).expect("a closed expression");
        rest = &rest[start + end + 2..];
    }
    plain.push_str(rest);
    plain
        .split('<')
        .skip(1)
        .filter(|tag| tag.starts_with(|first: char| first.is_ascii_alphabetic()))
        .map(|tag| tag.split('>').next().unwrap_or(tag).to_owned())
        .collect()
}

/// The names of a tag's attributes, and whether each value is quoted.
fn attributes(tag: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut rest = tag;
    while let Some(equals) = rest.find('=') {
        let name = rest[..equals]
            .rsplit(char::is_whitespace)
            .next()
            .unwrap_or("")
            .to_owned();
        let value = &rest[equals + 1..];
        match value
            .strip_prefix('"')
            .and_then(|value| value.split_once('"'))
        {
            Some((_, after)) => {
                found.push((name, true));
                rest = after;
            }
            None => {
                found.push((name, false));
                rest = value;
            }
        }
    }
    found
}

#[test]
fn templates_escape_everything() {
    for (path, template) in files("templates", "html") {
        let squeezed: String = template.split_whitespace().collect();
        for forbidden in ["|safe", "|escape", "autoescape"] {
            assert!(
                !squeezed.contains(forbidden),
                "{forbidden} in {}",
                path.display()
            );
        }
    }
}

#[test]
fn only_escaping_templates_count_as_escaped() {
    let mut found = 0;
    for (path, source) in files(".", "rs") {
        for line in source.lines().filter(|line| line.contains("HtmlSafe for")) {
            let name = line
                .split("for ")
                .nth(1)
                .and_then(|rest| rest.split(' ').next())
                .unwrap();
            let declared = source
                .find(&format!("struct {name} {{"))
                .expect("declared beside it");
            let before = source[..declared].rsplit("\n\n").next().unwrap();
            assert!(
                before.contains("#[derive(Template)]") && before.contains(".html\""),
                "{name} in {} counts as escaped without an HTML template",
                path.display()
            );
            found += 1;
        }
    }
    assert!(found > 0, "the check has lost its object");
}

#[test]
fn templates_hold_no_inline_style_or_script_and_quote_their_attributes() {
    for (path, template) in files("templates", "html") {
        for tag in tags(&template) {
            for (name, quoted) in attributes(&tag) {
                assert!(
                    quoted,
                    "{name} is not quoted in <{tag}> of {}",
                    path.display()
                );
                assert!(
                    name != "style" && !name.starts_with("on"),
                    "{name} in <{tag}> of {}",
                    path.display()
                );
            }
            assert!(
                !tag.starts_with("style"),
                "a style sheet in {}",
                path.display()
            );
            assert!(
                !tag.starts_with("script") || tag.contains(" src=\""),
                "an inline script in {}",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_is_loaded_or_linked_from_elsewhere() {
    for (path, template) in files("templates", "html") {
        for tag in tags(&template) {
            for reference in ["href=\"", "src=\"", "action=\""] {
                for value in tag.split(reference).skip(1) {
                    let outside =
                        value.starts_with("//") || value.split('"').next().unwrap().contains("://");
                    assert!(!outside, "<{tag}> of {}", path.display());
                }
            }
        }
    }
    for (_, style) in files("assets", "css") {
        assert!(!style.contains("url(") && !style.contains("@import"));
    }
    for (path, module) in files("assets", "js") {
        assert!(!module.contains("://"), "{}", path.display());
        assert!(!module.contains("innerHTML"), "{}", path.display());
        assert!(module.lines().count() < 150, "{}", path.display());
    }
}

#[test]
fn every_table_has_a_caption_and_every_head_a_scope() {
    for (path, template) in files("templates", "html") {
        let count = |tag: &str| {
            tags(&template)
                .iter()
                .filter(|found| found.split_whitespace().next() == Some(tag))
                .count()
        };
        assert_eq!(count("table"), count("caption"), "{}", path.display());
        for tag in tags(&template) {
            let is_head = tag.split_whitespace().next() == Some("th");
            assert!(
                !is_head || tag.contains("scope=\""),
                "<{tag}> of {}",
                path.display()
            );
        }
    }
}

#[test]
fn both_themes_can_be_read() {
    for theme in [asset("light.css"), asset("dark.css")] {
        let theme = theme.as_str();
        let backgrounds = ["page", "raised", "sunken", "prompt"];
        for text in ["text", "muted", "link"] {
            for background in backgrounds {
                readable(theme, text, background);
            }
        }
        for text in ["ok", "danger", "warn", "mark"] {
            readable(theme, text, "page");
            readable(theme, text, "raised");
        }
        readable(theme, "mark", "mark-wash");
        readable(theme, "danger", "danger-wash");
        readable(theme, "muted", "danger-wash");
        readable(theme, "on-accent", "accent");
    }
}

fn asset(name: &str) -> String {
    fs::read_to_string(Path::new(PORTAL).join("assets").join(name)).unwrap()
}

fn readable(theme: &str, text: &str, background: &str) {
    let (text_light, background_light) = (luminance(theme, text), luminance(theme, background));
    let (brighter, darker) = (
        text_light.max(background_light),
        text_light.min(background_light),
    );
    let contrast = (brighter + 0.05) / (darker + 0.05);
    assert!(contrast >= 4.5, "{text} on {background}: {contrast:.2}");
}

/// Relative luminance as WCAG 2 defines it.
fn luminance(theme: &str, name: &str) -> f64 {
    let value = theme.split(&format!("--{name}: #")).nth(1).expect(name);
    let channel = |at: usize| {
        let level = f64::from(u8::from_str_radix(&value[at..at + 2], 16).unwrap()) / 255.0;
        if level <= 0.04045 {
            level / 12.92
        } else {
            ((level + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}
