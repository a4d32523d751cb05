"""Adversarial Lab: see how little it takes to fool a neural network, and how it learns to hold."""

import os

# Two programs whose threads spin while they wait for one another take ten times as long: a page beside a training job.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import streamlit as st

from ui import frame

st.set_page_config(page_title="Adversarial Lab", page_icon="ui/icon.png", layout="wide")

frame.apply()
PAGES = [
    st.Page("pages/attack.py", title="Attack", icon=":material/bolt:", default=True),
    st.Page("pages/your_image.py", title="Your image", icon=":material/add_photo_alternate:", url_path="your-image"),
    st.Page("pages/accuracy.py", title="Accuracy vs ε", icon=":material/show_chart:"),
    st.Page("pages/papers.py", title="Papers", icon=":material/menu_book:"),
    st.Page("pages/retrain.py", title="Retrain", icon=":material/school:"),
    st.Page("pages/models.py", title="Models", icon=":material/inventory_2:"),
]
frame.run(st.navigation(PAGES, position="top"))
