use super::*;

#[test]
fn the_built_in_catalogue_is_sound() {
    let catalogue = Catalogue::builtin();
    assert_eq!(catalogue.geometries().len(), 13);
}
