// The camera: a click sends a photo in the size of the video to the server.
const CAMERAS = new WeakMap();

export default function (component) {
  const { parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".lab");
  if (!CAMERAS.has(root)) CAMERAS.set(root, new Camera(root));
  const camera = CAMERAS.get(root);
  camera.report = (photo) => setTriggerValue("photo", photo);
  camera.start();
  return () => {
    camera.over = true;
    camera.stop();
    CAMERAS.delete(root);
    root.replaceChildren();
  };
}


class Camera {
  constructor(root) {
    this.video = root.appendChild(el("div", "sheet")).appendChild(el("video"));
    Object.assign(this.video, { autoplay: true, muted: true, playsInline: true });
    const tools = root.appendChild(el("div", "tools"));
    this.take = button(tools, "Take a photo", () => this.shoot());
    button(tools, "Other camera", () => {
      this.facing = this.facing === "user" ? "environment" : "user";
      this.stop();
      this.start();
    });
    this.said = tools.appendChild(el("span", "said", "Waiting for the camera …"));
    this.said.setAttribute("role", "status");
    this.facing = "environment";
    this.take.disabled = true;
  }

  async start() {
    if (this.stream || this.asking) return;
    this.asking = true;
    const video = { facingMode: this.facing, width: { ideal: 4096 }, height: { ideal: 2160 } };
    try {
      if (!navigator.mediaDevices) throw new Error("needs https");
      const stream = await navigator.mediaDevices.getUserMedia({ video });
      if (this.over) return stream.getTracks().forEach((track) => track.stop());
      this.stream = stream;
      this.video.srcObject = stream;
      await this.video.play();
      this.take.disabled = false;
      this.said.textContent = `${this.video.videoWidth}×${this.video.videoHeight} pixels`;
    } catch (error) {
      const why = { NotAllowedError: "its use was not allowed", NotFoundError: "there is none", NotReadableError: "another program uses it" };
      const reason = why[error.name] ?? (navigator.mediaDevices ? error.message : "browsers allow it only over https");
      this.said.textContent = `No camera: ${reason}. Upload a photo instead.`;
    } finally {
      this.asking = false;
    }
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
  }

  shoot() {
    const { video } = this;
    const canvas = el("canvas");
    Object.assign(canvas, { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    this.take.disabled = true;
    this.said.textContent = "Sending …";
    this.report(canvas.toDataURL("image/jpeg", 0.92).split(",")[1]);
  }
}
