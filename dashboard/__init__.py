"""The Streamlit page for people: try a prediction, look at a forecast, review scores."""
