//! Numbers as people read them.

/// A whole number with thousands separators: 12,345.
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if value <= -0.5 {
        format!("-{out}")
    } else {
        out
    }
}

/// How many of something: `1 peak`, `2,345 peaks`.
pub fn count(value: f64, of: &str) -> String {
    let plural = if value == 1.0 { "" } else { "s" };
    format!("{} {of}{plural}", thousands(value))
}

/// A duration given in milliseconds: `412 ms`, `4.1 s`.
pub fn duration(ms: f32) -> String {
    if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

/// The last part of a path, or all of it where there is none.
pub fn file_name(path: &std::path::Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_stand_every_three_digits() {
        let cases = [
            (0.0, "0"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (-12_345_678.0, "-12,345,678"),
            (-0.2, "0"),
        ];
        for (value, text) in cases {
            assert_eq!(thousands(value), text);
        }
    }
}
