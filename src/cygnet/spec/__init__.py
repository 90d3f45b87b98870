"""The waist of the hourglass: what every front end makes and every back end takes."""
