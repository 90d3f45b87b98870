"""The kinds of maps, a file for each family; `cygnet.maps.making` finds them by the table of map types."""
