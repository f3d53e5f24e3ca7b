//! Pages of a list: `page_number` and `page_size` (api.md §3).

use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{error::ApiError, extract::Params};

const DEFAULT_SIZE: i64 = 20;
const MAX_SIZE: i64 = 50;

/// Which page a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paging {
    /// From 1.
    pub number: i64,
    /// 1..=50.
    pub size: i64,
    /// The client named a page; a list without envelope is then cut to it.
    pub asked: bool,
}

/// The parameters of [`Paging`], for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "read by the derive only")]
pub struct PagingParams {
    /// Page to return, from 1. `page` is an alias.
    #[param(minimum = 1, default = 1)]
    page_number: Option<i64>,
    /// Rows a page; more than 50 counts as 50.
    #[param(minimum = 1, default = 20)]
    page_size: Option<i64>,
}

impl Paging {
    /// Reads the parameters; 400 below 1 and for what is no whole number.
    pub fn read(params: &Params) -> Result<Self, ApiError> {
        let number = whole(params, &["page_number", "page"])?;
        let size = whole(params, &["page_size"])?;
        Ok(Self {
            number: number.unwrap_or(1),
            size: size.unwrap_or(DEFAULT_SIZE).min(MAX_SIZE),
            asked: number.is_some() || size.is_some(),
        })
    }

    /// The page of a list that is always answered bare; the whole list where no page was asked for.
    pub fn cut<T>(self, rows: Vec<T>) -> Vec<T> {
        if !self.asked {
            return rows;
        }
        let skip =
            usize::try_from((self.number - 1).saturating_mul(self.size)).unwrap_or(usize::MAX);
        rows.into_iter()
            .skip(skip)
            .take(usize::try_from(self.size).unwrap_or_default())
            .collect()
    }
}

fn whole(params: &Params, names: &[&'static str]) -> Result<Option<i64>, ApiError> {
    let Some((name, text)) = params.get(names) else {
        return Ok(None);
    };
    match text.trim().parse() {
        Ok(value @ 1..) => Ok(Some(value)),
        _ => Err(ApiError::field(name, "must be a whole number from 1")),
    }
}

/// A page with its place in the whole.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope<T> {
    /// This page.
    #[schema(example = 1)]
    pub page_number: i64,
    /// The same: some clients read this name.
    #[schema(example = 1)]
    pub page: i64,
    /// Rows a page.
    #[schema(example = 20)]
    pub page_size: i64,
    /// Rows of all pages. Behind the newest 10,000 they are counted once in 5 seconds.
    #[schema(example = 150)]
    pub total: i64,
    /// There is a next page.
    pub has_more: bool,
    /// This page's rows.
    pub data: Vec<T>,
}

impl<T> Envelope<T> {
    /// Wraps a page.
    pub fn new(paging: Paging, total: i64, data: Vec<T>) -> Self {
        let Paging { number, size, .. } = paging;
        let has_more = number.saturating_mul(size) < total;
        Self {
            page_number: number,
            page: number,
            page_size: size,
            total,
            has_more,
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_list_is_cut_only_when_a_page_is_named() {
        let all = Paging {
            number: 1,
            size: 20,
            asked: false,
        };
        assert_eq!(all.cut((0..60).collect()).len(), 60);
        let second = Paging {
            number: 2,
            size: 2,
            asked: true,
        };
        assert_eq!(second.cut(vec![1, 2, 3, 4, 5]), [3, 4]);
        let far = Paging {
            number: i64::MAX,
            size: 50,
            asked: true,
        };
        assert_eq!(far.cut(vec![1]), Vec::<i32>::new());
    }

    #[test]
    fn there_is_more_until_the_last_page() {
        let more = |number, total| {
            Envelope::<()>::new(
                Paging {
                    number,
                    size: 20,
                    asked: true,
                },
                total,
                vec![],
            )
            .has_more
        };
        assert!(more(1, 21));
        assert!(!more(1, 20));
        assert!(!more(2, 40));
        assert!(!more(1, 0));
    }
}
