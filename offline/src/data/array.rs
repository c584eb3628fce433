//! The cells of Arrow arrays.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use super::bad::Fault;
use super::field::Cell;

/// A cell that is not null and no list.
pub(crate) fn cell<'a>(column: &str, array: &'a dyn Array, at: usize) -> Result<Cell<'a>, Fault> {
    macro_rules! integer {
        ($type:ty) => {
            Cell::Integer(i128::from(array.as_primitive::<$type>().value(at)))
        };
    }
    Ok(match array.data_type() {
        DataType::Boolean => Cell::Integer(i128::from(array.as_boolean().value(at))),
        DataType::Int8 => integer!(Int8Type),
        DataType::Int16 => integer!(Int16Type),
        DataType::Int32 => integer!(Int32Type),
        DataType::Int64 => integer!(Int64Type),
        DataType::UInt8 => integer!(UInt8Type),
        DataType::UInt16 => integer!(UInt16Type),
        DataType::UInt32 => integer!(UInt32Type),
        DataType::UInt64 => integer!(UInt64Type),
        DataType::Float16 => Cell::Float(f64::from(array.as_primitive::<Float16Type>().value(at))),
        DataType::Float32 => Cell::Float(f64::from(array.as_primitive::<Float32Type>().value(at))),
        DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(at)),
        DataType::Utf8 => Cell::Bytes(array.as_string::<i32>().value(at).as_bytes()),
        DataType::LargeUtf8 => Cell::Bytes(array.as_string::<i64>().value(at).as_bytes()),
        DataType::Utf8View => Cell::Bytes(array.as_string_view().value(at).as_bytes()),
        DataType::Binary => Cell::Bytes(array.as_binary::<i32>().value(at)),
        DataType::LargeBinary => Cell::Bytes(array.as_binary::<i64>().value(at)),
        DataType::BinaryView => Cell::Bytes(array.as_binary_view().value(at)),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = dictionary.values();
            match cell(column, dictionary.keys(), at)? {
                Cell::Integer(key) if values.is_valid(key as usize) => cell(column, values, key as usize)?,
                _ => return Err(Fault::new(column, "a value", b"null in the column's dictionary")),
            }
        }
        other => {
            return Err(Fault::new(column, "a boolean, integer, float, string or list", other.to_string().as_bytes()));
        }
    })
}

/// The items of a list that is not null; `None` when the array holds no lists.
pub(crate) fn items(array: &dyn Array, at: usize) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::List(_) => Some(array.as_list::<i32>().value(at)),
        DataType::LargeList(_) => Some(array.as_list::<i64>().value(at)),
        DataType::FixedSizeList(..) => Some(array.as_fixed_size_list().value(at)),
        _ => None,
    }
}
