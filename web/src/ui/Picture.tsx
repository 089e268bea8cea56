import type { ReactNode } from "react";
import { useMore, type usePages } from "../api/queries";
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

/** A button that reads the next page of pictures, where there is one. */
export function More({ pages }: { pages: ReturnType<typeof usePages> }) {
	const more = useMore(pages);
	if (!pages.hasNextPage) return null;
	return (
		<p>
			<button type="button" onClick={more} disabled={pages.isFetchingNextPage}>
				Show more
			</button>
		</p>
	);
}
