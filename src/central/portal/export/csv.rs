//! CSV as RFC 4180 has it, for spreadsheets that must not take a cell for a formula.

/// One line. What a spreadsheet would take for a formula it gets as text.
pub(super) fn line<S: AsRef<str>>(cells: &[S]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| guarded(cell.as_ref())).collect();
    format!("{}\r\n", cells.join(","))
}

fn guarded(cell: &str) -> String {
    // Spreadsheets look past blanks, and some take full-width signs for the plain ones.
    let first = cell.trim_start_matches([' ', '\u{a0}', '\u{feff}', '\u{200b}']);
    let is_formula = cell.starts_with(['\t', '\r', '\n'])
        || first.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    let guard = if is_formula { "'" } else { "" };
    match is_formula || cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{guard}{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_every_cell_reads_back() {
        assert_eq!(line(&["a", "", "b c"]), "a,,b c\r\n");
        assert_eq!(
            line(&["=HYPERLINK(\"x\")"]),
            "\"'=HYPERLINK(\"\"x\"\")\"\r\n"
        );
        assert_eq!(line(&["+1", "-1", "@a"]), "\"'+1\",\"'-1\",\"'@a\"\r\n");
        assert_eq!(line(&[" =1", "\u{feff}=1"]), "\"' =1\",\"'\u{feff}=1\"\r\n");
        assert_eq!(line(&["a\nb", "c,d"]), "\"a\nb\",\"c,d\"\r\n");
    }
}
