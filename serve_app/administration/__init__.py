"""What admins do besides reading: deny and ban stored pictures, add to lists, ask who uploaded a picture."""
