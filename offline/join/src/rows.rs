//! Rows: what was decided and what came of it, as columns.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow_array::builder::{BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::interleave::interleave_record_batch;

use crate::counts::Counts;
use crate::hour::Shown;
use crate::options::{Feature, Options};
use crate::slates::{self, Labels, Slates};
use crate::touch::{Credit, TouchKind};

/// Columns of decisions that rows do not pass on: they say it themselves.
const REPLACED: [&str; 2] = ["weight", "slot"];

/// What a row adds to its decision.
pub(crate) fn own_fields() -> Vec<Field> {
    let field = |name: &str, kind: DataType, nullable: bool| Field::new(name, kind, nullable);
    use DataType::{Boolean, Float64, Int32, Int64, Utf8};
    vec![
        field("position", Int32, true),
        field("rendered_us", Int64, false),
        field("viewable", Boolean, false),
        field("view_us", Int64, true),
        field("label_click", Int32, false),
        field("clicks", Int32, false),
        field("click_us", Int64, true),
        field("click_delay_us", Int64, true),
        field("dwell_us", Int64, true),
        field("feedback", Int32, false),
        field("label_conversion", Int32, true),
        field("label_post_click", Int32, true),
        field("conversions", Int32, false),
        field("conversion_us", Int64, true),
        field("conversion_delay_us", Int64, true),
        field("touch", Utf8, true),
        field("value_micros", Int64, false),
        field("mature", Boolean, false),
        field("mature_us", Int64, false),
        field("row_flags", Int32, false),
        field("bill_impression", Boolean, false),
        field("bill_click", Boolean, false),
        field("weight", Float64, false),
    ]
}

/// The columns of rows.
///
/// # Errors
/// A feature with the name of another column.
pub(crate) fn schema(decisions: &Schema, options: &Options) -> Result<SchemaRef> {
    let others = own_fields();
    for Feature { name, .. } in &options.features {
        let taken = decisions.index_of(name).is_ok() || others.iter().any(|field| field.name() == name);
        ensure!(!taken, "feature `{name}` has the name of a column that rows have already (docs/join.md)");
    }
    let passed = decisions.fields().iter().filter(|f| !REPLACED.contains(&f.name().as_str()));
    let passed = passed.map(|f| Field::new(f.name(), f.data_type().clone(), f.is_nullable()));
    Ok(Arc::new(Schema::new(passed.chain(slates::fields(&options.features)).chain(own_fields()).collect::<Vec<_>>())))
}

/// What came of a row's orders, and when the row is final.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) conversions: i32,
    pub(crate) by_click: i32,
    pub(crate) value: i64,
    pub(crate) first: Option<(i64, i64)>,
    pub(crate) mature_us: i64,
}

impl Outcome {
    /// 1 once seen, 0 once it cannot come any more.
    fn label(&self, seen: bool, as_of_us: i64) -> Option<i32> {
        if seen { Some(1) } else { (self.mature_us <= as_of_us).then_some(0) }
    }

    /// The labels of a row. A row without a click says nothing of what follows one.
    pub(crate) fn labels(&self, shown: &Shown, as_of_us: i64) -> Labels {
        let clicked = !shown.clicks.is_empty();
        Labels {
            click: clicked.into(),
            conversion: self.label(self.conversions > 0, as_of_us),
            post_click: self.label(self.by_click > 0, as_of_us).filter(|_| clicked),
        }
    }

    /// The outcome of a row, and what became of the orders.
    pub(crate) fn of(options: &Options, shown: &Shown, credits: &[Credit], counts: &mut Counts) -> Self {
        let last_click = shown.valid_clicks(options).map(|click| click.time_us).max();
        let window = match last_click {
            Some(at) => at.saturating_add(options.click_window_us),
            None => shown.rendered_us.saturating_add(options.view_window_us),
        };
        let mut outcome = Self { mature_us: window.saturating_add(options.lateness_us), ..Self::default() };
        for credit in credits {
            if credit.order.retracted {
                counts.add("conversion.retracted", 1);
                continue;
            }
            counts.add(if credit.kind == TouchKind::Click { "conversion.click" } else { "conversion.view" }, 1);
            outcome.conversions += 1;
            outcome.by_click += i32::from(credit.kind == TouchKind::Click);
            outcome.value = outcome.value.saturating_add(credit.order.value);
            let at = (credit.order.time_us, credit.touch_us);
            outcome.first = Some(outcome.first.map_or(at, |first| first.min(at)));
        }
        outcome
    }
}

/// Makes the batch of some rows of a part.
pub(crate) struct RowMaker<'a> {
    pub(crate) options: &'a Options,
    pub(crate) schema: SchemaRef,
    pub(crate) as_of_us: i64,
}

#[derive(Default)]
struct Columns {
    position: Int32Builder,
    rendered: Int64Builder,
    viewable: BooleanBuilder,
    view: Int64Builder,
    label_click: Int32Builder,
    clicks: Int32Builder,
    click: Int64Builder,
    click_delay: Int64Builder,
    dwell: Int64Builder,
    feedback: Int32Builder,
    label_conversion: Int32Builder,
    label_post_click: Int32Builder,
    conversions: Int32Builder,
    conversion: Int64Builder,
    conversion_delay: Int64Builder,
    touch: StringBuilder,
    value: Int64Builder,
    mature: BooleanBuilder,
    mature_us: Int64Builder,
    flags: Int32Builder,
    bill_impression: BooleanBuilder,
    bill_click: BooleanBuilder,
    weight: Float64Builder,
}

impl Columns {
    fn push(&mut self, options: &Options, shown: &Shown, outcome: &Outcome, as_of_us: i64) {
        let known = |us: i64| (us >= 0).then_some(us);
        let first = shown.clicks.first();
        let valid = shown.valid(options);
        let mature = outcome.mature_us <= as_of_us;
        let labels = outcome.labels(shown, as_of_us);
        self.position.append_value(shown.decision.slot);
        self.rendered.append_value(shown.rendered_us);
        self.viewable.append_value(shown.viewable);
        self.view.append_option(known(shown.view_us));
        self.label_click.append_value(labels.click);
        self.clicks.append_value(shown.clicks.len() as i32);
        self.click.append_option(first.map(|c| c.time_us));
        self.click_delay.append_option(first.map(|c| c.time_us - shown.rendered_us));
        self.dwell.append_option(known(shown.dwell_us));
        self.feedback.append_value(shown.feedback as i32);
        self.label_conversion.append_option(labels.conversion);
        self.label_post_click.append_option(labels.post_click);
        self.conversions.append_value(outcome.conversions);
        self.conversion.append_option(outcome.first.map(|(at, _)| at));
        self.conversion_delay.append_option(outcome.first.map(|(at, touch)| at - touch));
        self.touch.append_option(match (outcome.by_click, outcome.conversions) {
            (_, 0) => None,
            (0, _) => Some("view"),
            _ => Some("click"),
        });
        self.value.append_value(outcome.value);
        self.mature.append_value(mature);
        self.mature_us.append_value(outcome.mature_us);
        self.flags.append_value(shown.flags as i32);
        self.bill_impression.append_value(valid);
        self.bill_click.append_value(valid && first.is_some());
        self.weight.append_value(if valid { 1.0 } else { 0.0 });
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.position.finish()),
            Arc::new(self.rendered.finish()),
            Arc::new(self.viewable.finish()),
            Arc::new(self.view.finish()),
            Arc::new(self.label_click.finish()),
            Arc::new(self.clicks.finish()),
            Arc::new(self.click.finish()),
            Arc::new(self.click_delay.finish()),
            Arc::new(self.dwell.finish()),
            Arc::new(self.feedback.finish()),
            Arc::new(self.label_conversion.finish()),
            Arc::new(self.label_post_click.finish()),
            Arc::new(self.conversions.finish()),
            Arc::new(self.conversion.finish()),
            Arc::new(self.conversion_delay.finish()),
            Arc::new(self.touch.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.mature.finish()),
            Arc::new(self.mature_us.finish()),
            Arc::new(self.flags.finish()),
            Arc::new(self.bill_impression.finish()),
            Arc::new(self.bill_click.finish()),
            Arc::new(self.weight.finish()),
        ]
    }
}

impl RowMaker<'_> {
    /// The rows of these impressions.
    pub(crate) fn make(
        &self,
        batches: &[RecordBatch],
        shown: &[Shown],
        outcomes: &[Outcome],
        slates: &Slates,
    ) -> Result<RecordBatch> {
        let places: Vec<_> = shown.iter().map(|s| (s.decision.batch as usize, s.decision.row as usize)).collect();
        let batches: Vec<&RecordBatch> = batches.iter().collect();
        let decided = interleave_record_batch(&batches, &places)?;
        let mut columns = Columns::default();
        for (shown, outcome) in shown.iter().zip(outcomes) {
            columns.push(self.options, shown, outcome, self.as_of_us);
        }
        let own = own_fields().len() + self.options.features.len();
        let passed = self.schema.fields().iter().take(self.schema.fields().len() - own);
        let mut all = passed
            .map(|f| decided.column_by_name(f.name()).cloned().with_context(|| format!("no column `{}`", f.name())))
            .collect::<Result<Vec<_>>>()?;
        let ids: Vec<u128> = shown.iter().map(|s| s.decision.id).collect();
        all.extend(slates.features(&self.options.features, &ids)?);
        all.extend(columns.finish());
        Ok(RecordBatch::try_new(self.schema.clone(), all)?)
    }
}
