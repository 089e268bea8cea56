/** A picture of the server, in crisp pixels. */
export function Picture({ url, width, height, alt }: { url: string; width: number; height: number; alt: string }) {
	return <img className="picture" src={url} width={width} height={height} alt={alt} loading="lazy" />;
}
