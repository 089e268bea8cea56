import type { ReactNode } from "react";
import "./Picture.css";

export interface PictureFile {
	url: string;
	width: number;
	height: number;
}

/** A picture of the server, in crisp pixels. */
export function Picture({ url, width, height, alt }: PictureFile & { alt: string }) {
	return <img className="picture" src={url} width={width} height={height} alt={alt} loading="lazy" />;
}

/** Pictures with what is to be said about each. */
export function Pictures({ children }: { children: ReactNode }) {
	return <ul className="pictures">{children}</ul>;
}
