//! The cells of Arrow arrays.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};

use super::fault::Fault;
use super::field::{Field, Scalar};

/// The field of a column at a row.
pub(crate) fn field<'a>(column: &str, array: &'a dyn Array, at: usize) -> Result<Field<'a>, Fault> {
    if let Some(items) = items(array, at) {
        return Ok(if array.is_null(at) { Field::Missing } else { Field::List(items) });
    }
    Ok(match cell(column, array, at)? {
        None => Field::Missing,
        Some(Scalar::Bytes(std::borrow::Cow::Borrowed(text))) => Field::text(text),
        Some(Scalar::Float(x)) if x.is_nan() => Field::Missing,
        Some(other) => Field::One(other),
    })
}

/// A cell of a column without lists; `None` for null.
pub(crate) fn cell<'a>(column: &str, array: &'a dyn Array, at: usize) -> Result<Option<Scalar<'a>>, Fault> {
    if array.is_null(at) {
        return Ok(None);
    }
    macro_rules! integer {
        ($type:ty) => {
            Scalar::Integer(i128::from(array.as_primitive::<$type>().value(at)))
        };
    }
    macro_rules! decimal {
        ($type:ty) => {
            Scalar::Bytes(array.as_primitive::<$type>().value_as_string(at).into_bytes().into())
        };
    }
    let late = || Fault::new(column, "a time from 1900 to 2100", b"one past 64 bits of microseconds");
    let stamp = |units: i64, scale: i64, zone: &'a Option<std::sync::Arc<str>>| {
        Ok(Scalar::Timestamp(units.checked_mul(scale).ok_or_else(late)?, zone.as_deref()))
    };
    Ok(Some(match array.data_type() {
        // A null array has no validity bits.
        DataType::Null => return Ok(None),
        DataType::Boolean => Scalar::Boolean(array.as_boolean().value(at)),
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        DataType::Float16 => Scalar::Float(f64::from(array.as_primitive::<Float16Type>().value(at))),
        DataType::Float32 => Scalar::Float(f64::from(array.as_primitive::<Float32Type>().value(at))),
        DataType::Float64 => Scalar::Float(array.as_primitive::<Float64Type>().value(at)),
        DataType::Decimal32(..) => decimal!(Decimal32Type),
        DataType::Decimal64(..) => decimal!(Decimal64Type),
        DataType::Decimal128(..) => decimal!(Decimal128Type),
        DataType::Decimal256(..) => decimal!(Decimal256Type),
        DataType::Date32 => Scalar::Date(array.as_primitive::<Date32Type>().value(at).into()),
        DataType::Date64 => Scalar::Date(array.as_primitive::<Date64Type>().value(at).div_euclid(86_400_000)),
        DataType::Timestamp(TimeUnit::Second, zone) => {
            stamp(array.as_primitive::<TimestampSecondType>().value(at), 1_000_000, zone)?
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            stamp(array.as_primitive::<TimestampMillisecondType>().value(at), 1000, zone)?
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            stamp(array.as_primitive::<TimestampMicrosecondType>().value(at), 1, zone)?
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            stamp(array.as_primitive::<TimestampNanosecondType>().value(at).div_euclid(1000), 1, zone)?
        }
        DataType::Utf8 => array.as_string::<i32>().value(at).as_bytes().into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(at).as_bytes().into(),
        DataType::Utf8View => array.as_string_view().value(at).as_bytes().into(),
        DataType::Binary => array.as_binary::<i32>().value(at).into(),
        DataType::LargeBinary => array.as_binary::<i64>().value(at).into(),
        DataType::BinaryView => array.as_binary_view().value(at).into(),
        DataType::FixedSizeBinary(_) => array.as_fixed_size_binary().value(at).into(),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let Some(Scalar::Integer(key)) = cell(column, dictionary.keys(), at)? else { return Ok(None) };
            return cell(column, dictionary.values(), key as usize);
        }
        other => {
            let expected = "a boolean, number, decimal, string, time or list (cast the column when you export it)";
            return Err(Fault::new(column, expected, other.to_string().as_bytes()));
        }
    }))
}

/// The items of a list; `None` when the array holds no lists.
fn items(array: &dyn Array, at: usize) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::List(_) => Some(array.as_list::<i32>().value(at)),
        DataType::LargeList(_) => Some(array.as_list::<i64>().value(at)),
        DataType::FixedSizeList(..) => Some(array.as_fixed_size_list().value(at)),
        DataType::ListView(_) => Some(array.as_list_view::<i32>().value(at)),
        DataType::LargeListView(_) => Some(array.as_list_view::<i64>().value(at)),
        _ => None,
    }
}
