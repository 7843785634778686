"""Pure geometry: clouds, lifting, projecting with a z-buffer, fitting depth to what is there. Arrays in, arrays out."""
