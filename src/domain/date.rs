//! Seconds since 1970 as a date and a time of day in UTC.

/// Year, month (1 to 12) and day of a number of days since 1970-01-01 (Howard Hinnant's civil-from-days).
pub const fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// `2026-11-25 04:58` of seconds since 1970, UTC.
pub fn minute(seconds: f64) -> String {
    let minutes = (seconds / 60.0).floor() as i64;
    let (year, month, day) = civil(minutes.div_euclid(1440));
    let of_day = minutes.rem_euclid(1440);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        of_day / 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Python's datetime.fromtimestamp(s, datetime.UTC).
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0.0, "1970-01-01 00:00"),
            (951_827_696.0, "2000-02-29 12:34"),
            (1_795_582_680.5, "2026-11-25 04:58"),
            (4_107_542_399.0, "2100-02-28 23:59"),
            (-1.0, "1969-12-31 23:59"),
        ] {
            assert_eq!(minute(seconds), text);
        }
    }
}
